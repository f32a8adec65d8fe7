from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_setup import IDENTITY, make_state, names, open_alone, same_bits, write

from steep.core.errors import UserError
from steep.training.checkpoint_files import remove_checkpoints
from steep.training.checkpoint_io import CheckedWriter


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The writer waits here before it writes."""
    event, real = threading.Event(), CheckedWriter.write_data

    def write_data(self: CheckedWriter, *arguments: Any) -> Any:
        assert event.wait(30)
        return real(self, *arguments)

    monkeypatch.setattr(CheckedWriter, "write_data", write_data)
    yield event
    event.set()


def test_every_type_comes_back_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, [3])
    state = make_state(0)
    addresses = {name: tensor.data_ptr() for name, tensor in state.items()}
    assert open_alone(tmp_path).load(state) == 3
    assert same_bits(state, make_state(3))
    assert {name: tensor.data_ptr() for name, tensor in state.items()} == addresses, "in place"


def test_without_a_checkpoint_nothing_is_loaded(tmp_path: Path) -> None:
    state = make_state(0)
    assert open_alone(tmp_path / "new").load(state) == 0
    assert same_bits(state, make_state(0))


def test_training_goes_on_while_the_writer_writes(tmp_path: Path, gate: threading.Event) -> None:
    checkpoints, state = open_alone(tmp_path), make_state(1)
    checkpoints.save(1, state)
    with torch.no_grad():
        for tensor in state.values():
            tensor.fill_(1)
    assert not tmp_path.joinpath("checkpoint-00000001").exists()
    gate.set()
    checkpoints.wait()
    assert open_alone(tmp_path).load(state) == 1
    assert same_bits(state, make_state(1)), "as it was when save was called"


def test_a_pending_save_is_finished_before_the_next(tmp_path: Path, gate: threading.Event) -> None:
    checkpoints = open_alone(tmp_path)
    checkpoints.save(1, make_state(1))
    threading.Timer(0.05, gate.set).start()
    checkpoints.save(2, make_state(2))
    assert "checkpoint-00000001" in names(tmp_path)
    checkpoints.wait()
    assert names(tmp_path) == ["checkpoint-00000001", "checkpoint-00000002"]


def test_a_save_that_is_due_waits_for_its_turn(tmp_path: Path, gate: threading.Event) -> None:
    checkpoints = open_alone(tmp_path)
    assert checkpoints.is_due(elapsed_s=61, interval_s=60)
    assert not checkpoints.is_due(elapsed_s=59, interval_s=60)
    checkpoints.save(1, make_state(1))
    assert not checkpoints.is_due(elapsed_s=1e9, interval_s=60), "one is being written"
    time.sleep(0.2)
    gate.set()
    checkpoints._thread.submit(lambda: None).result()  # the write has ended
    assert checkpoints.is_due(elapsed_s=1e9, interval_s=60)
    assert not checkpoints.is_due(elapsed_s=3, interval_s=1), "writing took more than 0.2 s"


def test_without_checkpoints_nothing_is_written(tmp_path: Path) -> None:
    checkpoints = open_alone(tmp_path, keep=0)
    assert not checkpoints.is_due(elapsed_s=1e9, interval_s=60)
    checkpoints.save(1, make_state(1))
    checkpoints.wait()
    assert names(tmp_path) == []


@pytest.mark.parametrize("keep", [1, 2, 9])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    write(tmp_path, [1, 2, 3, 10], keep)
    assert names(tmp_path) == [f"checkpoint-{step:08d}" for step in (1, 2, 3, 10)[-keep:]]


def test_a_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, [5])
    record = json.loads((tmp_path / "checkpoint-00000005" / "step.json").read_text())
    files = names(tmp_path / "checkpoint-00000005")
    assert sorted([*record["files"], "step.json"]) == files
    assert (record["step"], record["identity"]) == (5, IDENTITY)
    assert record["world_size"] == 1
    assert record["torch"] == torch.__version__
    assert record["seconds"] > 0
    sizes = [(tmp_path / "checkpoint-00000005" / name).stat().st_size for name in record["files"]]
    assert record["bytes"] == sum(sizes)


def test_a_step_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, [1])
    before = (tmp_path / "checkpoint-00000001").stat().st_ino
    checkpoints, state = open_alone(tmp_path), make_state(0)
    assert checkpoints.load(state) == 1
    checkpoints.save(1, state)
    checkpoints.wait()
    assert (tmp_path / "checkpoint-00000001").stat().st_ino == before


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    write(tmp_path, [1])
    (tmp_path / ".checkpoint-00000002.tmp").mkdir()
    (tmp_path / ".checkpoint-00000002.tmp" / "__0_0.distcp").write_bytes(b"half")
    assert open_alone(tmp_path).load(make_state(0)) == 1
    assert names(tmp_path) == ["checkpoint-00000001"]


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    for name in ("metrics.jsonl", "checkpoint-best", ".hidden.tmp"):
        (tmp_path / name).mkdir()
    write(tmp_path, [1, 2], keep=1)
    assert open_alone(tmp_path).load(make_state(0)) == 2
    remove_checkpoints(tmp_path)
    assert names(tmp_path) == [".hidden.tmp", "checkpoint-best", "metrics.jsonl"]


def test_each_changed_field_is_named(tmp_path: Path) -> None:
    write(tmp_path, [1])
    changed = {"corpus.sha256": "abcd", "learning_rate": 1e-5, "replay": [1, 2], "new": None}
    state = make_state(0)
    with pytest.raises(UserError, match="other data or settings") as caught:
        open_alone(tmp_path, identity=IDENTITY | changed).load(state)
    assert "corpus.sha256: 1234 -> abcd\n" in str(caught.value)
    assert "learning_rate: 5e-06 -> 1e-05\n" in str(caught.value)
    assert "new: (none) -> None\n" in str(caught.value)
    assert "replay: None -> [1, 2]\n" in str(caught.value)
    assert "seed" not in str(caught.value)
    assert str(tmp_path / "checkpoint-00000001") in str(caught.value)
    assert same_bits(state, make_state(0)), "nothing was touched"


def test_an_identity_of_tuples_is_the_same_after_a_restart(tmp_path: Path) -> None:
    for expected in (0, 1):
        checkpoints, state = open_alone(tmp_path, identity={"betas": (0.9, 0.95)}), make_state(1)
        assert checkpoints.load(state) == expected
        checkpoints.save(1, state)
        checkpoints.wait()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weight": None}, "only in the checkpoint: weight"),
        ({"lora": torch.zeros(3)}, "only in this run: lora"),
        ({"step": torch.zeros(1)}, "step ((), torch.float32) -> ((1,), torch.float32)"),
        ({"norm": torch.zeros(24, dtype=torch.bfloat16)}, "-> ((24,), torch.bfloat16)"),
        ({f"lora{i}": torch.zeros(1) for i in range(13)}, "lora5, lora6 and 3 more"),
    ],
    ids=["missing", "extra", "shape", "type", "many"],
)
def test_other_tensors_are_refused_by_name(
    tmp_path: Path, change: dict[str, torch.Tensor | None], named: str
) -> None:
    write(tmp_path, [1])
    mine = make_state(0) | change
    state = {name: tensor for name, tensor in mine.items() if tensor is not None}
    with pytest.raises(UserError, match="tensors of this checkpoint differ") as caught:
        open_alone(tmp_path).load(state)
    assert named in str(caught.value)
    assert torch.equal(state["codes"], make_state(0)["codes"]), "nothing was touched"


def test_memory_does_not_grow_with_saves(tmp_path: Path) -> None:
    checkpoints = open_alone(tmp_path, keep=1)
    state = {str(place): torch.zeros(1 << 20) for place in range(2)}  # 8 MB
    resident: list[int] = []
    for step in range(1, 21):
        checkpoints.save(step, state)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize())
    checkpoints.wait()
    assert resident[-1] - resident[3] < 12e6, "sixteen more states would be 128 MB"


def test_close_finishes_what_is_pending(tmp_path: Path, gate: threading.Event) -> None:
    checkpoints = open_alone(tmp_path)
    checkpoints.save(1, make_state(1))
    threading.Timer(0.05, gate.set).start()
    checkpoints.close()
    assert names(tmp_path) == ["checkpoint-00000001"]


def test_close_logs_what_nobody_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the writer broke")

    monkeypatch.setattr(CheckedWriter, "write_data", fail)
    checkpoints = open_alone(tmp_path)
    checkpoints.save(1, make_state(1))
    checkpoints.close()
    assert "the writer broke" in caplog.text
