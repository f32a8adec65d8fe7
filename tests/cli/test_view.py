"""`steep view`: a server on loopback that follows a run, reads alone, and stops when asked."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from small_project import settle
from steep_command import Steep
from view_process import RUN, empty_project, record, viewing, write_progress

from steep.core.errors import UserError
from steep.stages.view_server import DEFAULT_PORT, listen
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]


def test_a_run_is_followed_while_another_process_works(project: Path, steep: Steep) -> None:
    with ScriptedServer(Script(behaviour=Behaviour(delay_s=0.1))) as server:
        settle(project / "steep.yaml", generate={"base_url": server.base_url, "concurrency": 2})
        with viewing(project) as view:
            assert view.state()["state"] == "waiting"
            assert b"Waiting for a run" in view.get("").body
            command = steep.start("generate", cwd=project)
            during = view.wait_until(lambda state: state["texts"])
            assert command.wait().code == 0
            after = view.wait_until(lambda state: _done(state) == len(server.completed))
            assert view.stop(signal.SIGINT)[0] == 0
    text = during["texts"][0]
    assert text["recipe"] == "entigraph" and text["text"] and text["document_id"]
    assert after["calls"][0]["known_usd"] > 0 and after["failures"] == {}


def _done(state: dict[str, Any]) -> int:
    return sum(each["counts"].get("done", 0) for each in state["calls"])


def test_it_reads_alone_and_two_at_once(tmp_path: Path) -> None:
    project = empty_project(tmp_path / "project")
    write_progress(project)
    record(project, "The ferry crosses the lake.")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with viewing(project) as one, viewing(project) as other:
        assert one.url != other.url
        for view in (one, other):
            state = view.state()
            assert (state["state"], state["progress"]["stage"]) == ("running", "generate")
            assert [each["text"] for each in state["texts"]] == ["The ferry crosses the lake."]
        assert {path: path.read_bytes() for path in before} == before
        assert {path for path in project.rglob("*") if path.is_file()} == before.keys()
        code, out = one.stop(signal.SIGTERM)
    assert (code, out) == (0, "")


def test_only_reading_from_this_machine_is_answered(tmp_path: Path) -> None:
    with viewing(empty_project(tmp_path / "project")) as view:
        port = view.url.rstrip("/").rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost:9", f"[::1]:{port}"):
            assert view.get("state", Host=host).status == 200, host
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[", "x@y"):
            refused = view.get("state", Host=host)
            assert (refused.status, b"name" in refused.body) == (403, False), host
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert view.get("state", method).status == 405
        assert view.get("../steep.yaml").status == view.get("report").status == 404
        page = view.get("")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
        assert "connect-src 'self'" in policy and "unsafe-eval" not in policy
        assert view.get("", "HEAD").body == b"" and "http://" not in page.body.decode()
        state = view.get("state")
        assert state.headers["Cache-Control"] == "no-store"
        known = view.get("state", **{"If-None-Match": state.headers["ETag"]})
        assert (known.status, known.body) == (304, b"")
        with socket.socket() as elsewhere:  # another address of this machine
            elsewhere.settimeout(5)
            assert elsewhere.connect_ex(("127.0.0.2", int(port)))
        with socket.create_connection(("127.0.0.1", int(port))) as kept:
            kept.sendall(b"GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert kept.recv(12) == b"HTTP/1.1 200"
            assert view.stop(signal.SIGINT) == (0, "")  # beside an open connection


def test_the_terminal_shows_each_change_of_stage_once(tmp_path: Path) -> None:
    project = empty_project(tmp_path / "project")
    with viewing(project) as view:
        write_progress(project)
        view.wait_for(state="running")
        write_progress(project, stage="corpus", tasks=[])
        view.wait_until(lambda state: state["progress"]["stage"] == "corpus")
        write_progress(project, state="done")
        (project / RUN / "report.html").write_text("<title>the report</title>")
        view.wait_for(report_is_current=True)
        assert b"the report" in view.get("").body
        assert b"Open the report" in view.get("live").body
        write_progress(project, command="generate")  # another run, after the report
        view.wait_for(state="running", report_is_current=False)
        assert b"Running: generate" in view.get("").body
        _, out = view.stop()
    report = f"Finished: steep run; report: {RUN}/report.html"
    lines = ["Running: generate", "Running: corpus", report, "Running: generate"]
    assert out.splitlines() == lines


def test_a_port_that_is_taken_is_refused_only_if_it_was_named() -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} is taken") as refused:
            listen(port)
    assert "0 for any free one" in str(refused.value)
    with listen(None) as one, listen(None) as other:
        assert DEFAULT_PORT <= one.getsockname()[1] < other.getsockname()[1]
