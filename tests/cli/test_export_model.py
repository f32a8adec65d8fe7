"""`steep export model` and `steep export gguf`: a trained model for others, with its scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from small_project import run_record, settle, write_project
from steep_command import Steep
from transformers import AutoModelForCausalLM, AutoTokenizer

from hub_server import REPOSITORY, Hub
from steep.cli.export import WEIGHTS, _upload
from steep.testing.scripted_server import ScriptedServer
from steep.testing.tiny_corpus import DOCUMENTS

pytest_plugins = ["command_fixtures"]

CHAT = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Joren Pell."}]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    server: ScriptedServer,
    steep: Steep,
    tiny_directory: Path,
) -> Path:
    """A finished run of two arms, one of them tuned."""
    project = tmp_path_factory.mktemp("models") / "project"
    config = write_project(project, server.base_url, tiny_directory)
    (project / "chats.jsonl").write_text(
        "".join(json.dumps({"messages": CHAT}) + "\n" for _ in range(8))
    )
    settle(config, train={"epochs": 1}, tokenize={"holdout": 0.3})
    tuning = {"chats": "chats.jsonl", "arms": ["entigraph"]}
    settle(config, instruct={**tuning, "context_tokens": 64, "batch_sequences": 2})
    ended = steep("run", cwd=project)
    assert ended.code == 0, ended.err
    return project


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished project, to change something in it."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


def model_directory(project: Path, name: str) -> Path:
    stage = "instruct" if name.endswith("-instruct") else "train"
    path = run_record(project)["artifacts"][stage][name.removesuffix("-instruct")]
    return project / str(path) / "model"


def scores_of(project: Path, name: str) -> dict[str, Any]:
    path = project / run_record(project)["artifacts"]["evaluate"] / "scores.json"
    models = json.loads(path.read_text())["likelihood"]["models"]
    return next(each for each in models if each["name"] == name)


def test_an_exported_model_is_the_trained_one(finished: Path, steep: Steep, tmp_path: Path) -> None:
    ended = steep("export", "model", tmp_path / "out", "--arm", "entigraph", cwd=finished)
    assert ended.code == 0, ended.err
    source = model_directory(finished, "entigraph")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    for name, weight in AutoModelForCausalLM.from_pretrained(source).state_dict().items():
        assert torch.equal(loaded[name], weight), name
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template
    assert not (tmp_path / "out/model.safetensors").samefile(source / "model.safetensors")
    assert f"vllm serve {tmp_path / 'out'} --served-model-name default-entigraph" in ended.out
    assert "--max-model-len 1024 --dtype float32 --generation-config vllm" in ended.out
    assert "default-entigraph-served: {base_url: http://localhost:8000/v1" in ended.out
    assert "'unknown' for the license of the model (--license)" in ended.out


def test_the_model_card_has_scores_data_and_licenses(
    finished: Path, steep: Steep, tmp_path: Path, server: ScriptedServer
) -> None:
    from huggingface_hub import ModelCard

    licenses = ["--license", "apache-2.0", "--corpus-license", "cc-by-4.0"]
    out = tmp_path / "out"
    ended = steep("export", "model", out, "--arm", "entigraph", *licenses, cwd=finished)
    assert ended.code == 0 and "unknown" not in ended.out, ended.err
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "apache-2.0" and card.data.language == ["en"]
    assert card.data.library_name == "transformers" and card.data.base_model is None
    found = scores_of(finished, "entigraph")
    (metric,) = card.data.eval_results
    assert metric.metric_value == round(found["accuracy"], 4)
    assert f"n = {found['n']}, 95% interval" in metric.metric_name
    text = card.text
    assert "# default-entigraph" in text and "- This model: apache-2.0." in text
    assert "synthetic texts: cc-by-4.0" in text and "were written by scripted" in text
    for name in ("base", "raw", "entigraph", "entigraph-instruct"):
        assert f"| {name} | " in text
    assert "Not measured: open-book accuracy" in text and "| `train.seed` | 0 |" in text
    assert "#### Paired differences" in text and "Calibration" not in text
    private = [str(finished), server.base_url.split("//")[1], "127.0.0.1"]
    private += [each.title for each in DOCUMENTS]
    assert not [each for each in private if each in text]
    assert not [each.text[:40] for each in DOCUMENTS if each.text[:40] in text]


def test_titles_are_listed_when_asked_for(finished: Path, steep: Steep, tmp_path: Path) -> None:
    ended = steep("export", "model", tmp_path / "out", "--arm", "raw", "--documents", cwd=finished)
    assert ended.code == 0, ended.err
    text = (tmp_path / "out/README.md").read_text()
    assert all(f"- {each.title}\n" in text for each in DOCUMENTS)


def test_an_export_is_updated_and_other_files_stay(
    finished: Path, steep: Steep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert steep("export", "model", out, "--arm", "raw", cwd=finished).code == 0
    (out / "mine.txt").write_text("mine")
    (out / "model-2.safetensors").write_text("of an earlier model")
    mark = json.loads((out / "steep-model.json").read_text())
    (out / "steep-model.json").write_text(
        json.dumps({**mark, "files": [*mark["files"], "model-2.safetensors"]})
    )
    assert steep("export", "model", out, "--arm", "entigraph", cwd=finished).code == 0
    assert "# default-entigraph" in (out / "README.md").read_text()
    assert (out / "mine.txt").exists() and not (out / "model-2.safetensors").exists()
    ended = steep("export", "model", "documents", "--arm", "raw", cwd=finished)
    assert ended.code == 2 and "that an export has not written" in ended.err
    assert not (finished / "documents/config.json").exists()


def test_a_tuned_model_is_said_to_be_a_chat_model(
    finished: Path, steep: Steep, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = steep("export", "model", out, "--arm", "entigraph-instruct", cwd=finished)
    assert ended.code == 0 and "it is a chat model" in ended.out, ended.err
    text = (out / "README.md").read_text()
    assert "tokens of chats" in text and "apply_chat_template" in text
    assert "| `instruct.loss_on` | all |" in text


def test_a_model_directory_says_what_it_is(finished: Path) -> None:
    text = (model_directory(finished, "raw") / "README.md").read_text()
    assert "steep export model --arm raw`" in text
    text = (model_directory(finished, "entigraph-instruct") / "README.md").read_text()
    assert "# entigraph-instruct" in text


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (None, "There are several trained models; name one."),
        ("entigraf", "did you mean 'entigraph'?"),
        ("raw-instruct", "There is no model of this name"),
    ],
)
@pytest.mark.parametrize("what", ["model", "gguf"])
def test_names_that_are_not_clear(
    finished: Path, steep: Steep, what: str, arm: str | None, said: str
) -> None:
    ended = steep("export", what, *(["--arm", arm] if arm else []), cwd=finished)
    assert ended.code == 2 and said in ended.err
    assert "raw, entigraph, entigraph-instruct" in " ".join(ended.err.split())


def test_what_is_not_trained_is_refused(project: Path, copy: Path, steep: Steep) -> None:
    ended = steep("export", "model", cwd=project)
    assert ended.code == 2 and "No model has been trained" in ended.err
    ended = steep("export", "gguf", "--arm", "raw", cwd=project)
    assert ended.code == 2 and "'raw' has not been trained with this" in ended.err
    assert "steep run finishes it" in ended.err
    shutil.rmtree(model_directory(copy, "raw"))
    ended = steep("export", "gguf", "--arm", "raw", cwd=copy)
    assert ended.code == 2 and "were deleted" in ended.err


def test_a_run_that_is_not_evaluated_has_a_card_without_scores(copy: Path, steep: Steep) -> None:
    for path in (*copy.glob(".steep/score-*"), *copy.glob(".steep/evaluate-*")):
        shutil.rmtree(path)
    ended = steep("export", "model", "out", "--arm", "raw", cwd=copy)
    assert ended.code == 0 and "README.md has no scores" in ended.out, ended.err
    text = (copy / "out/README.md").read_text()
    assert "The model was not evaluated." in text and "model-index" not in text


def test_of_several_seeds_the_named_one_is_exported(
    finished: Path, steep: Steep, tmp_path: Path
) -> None:
    seeds = ["--set", "train.seeds=2"]
    ended = steep("export", "model", tmp_path / "out", "--arm", "raw", *seeds, cwd=finished)
    assert ended.code == 0, ended.err
    said = " ".join(ended.out.split())
    assert "the model of seed 0, one of 2 of this arm" in said and "raw-seed1" in said
    assert "no scores: not all models of the run are trained" in said
    ended = steep("export", "model", tmp_path / "out", "--arm", "raw-seed1", *seeds, cwd=finished)
    assert ended.code == 2 and "'raw-seed1' has not been trained" in ended.err


def test_a_gguf_file_with_its_modelfile(finished: Path, steep: Steep, tmp_path: Path) -> None:
    ended = steep("export", "gguf", tmp_path, "--arm", "entigraph", "--type", "f32", cwd=finished)
    assert ended.code == 0, ended.err
    file = tmp_path / "default-entigraph-f32.gguf"
    tensors = {each.name: each.data for each in gguf.GGUFReader(file).tensors}
    model = AutoModelForCausalLM.from_pretrained(model_directory(finished, "entigraph"))
    assert np.array_equal(
        tensors["token_embd.weight"], model.model.embed_tokens.weight.detach().numpy()
    )
    modelfile = (tmp_path / "default-entigraph-f32.Modelfile").read_text()
    assert modelfile.startswith('FROM ./default-entigraph-f32.gguf\nTEMPLATE """{{ if .System')
    assert all(f"  {line}\n" in ended.out for line in modelfile.splitlines())
    assert f"llama-server -m {file} --alias default-entigraph -c 1024" in ended.out
    assert "ollama create default-entigraph -f" in ended.out
    assert "methods: [answers]" in ended.out
    named = tmp_path / "named.gguf"
    assert steep("export", "gguf", named, "--arm", "raw", cwd=finished).code == 0
    assert named.is_file()


def test_the_converter_of_llama_cpp_is_used_where_it_is_named(
    finished: Path, steep: Steep, tmp_path: Path
) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text(
        "import sys\nprint('their converter')\nsys.exit('not supported')\n"
    )
    arguments = ["--arm", "raw", "--llama-cpp", str(tmp_path)]
    ended = steep("export", "gguf", tmp_path / "x.gguf", *arguments, cwd=finished)
    assert ended.code == 2 and "ended with exit code 1" in ended.err
    assert "their converter" in ended.err and "not supported" in ended.err
    assert not (tmp_path / "x.gguf").exists()


def test_a_model_is_pushed_to_a_private_repository(
    finished: Path, steep: Steep, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert steep("export", "model", out, "--arm", "raw", cwd=finished).code == 0
    files = json.loads((out / "steep-model.json").read_text())["files"]
    _upload(out, REPOSITORY, "model", [*files, WEIGHTS], public=False)
    assert f"uploaded to {hub.url}/{REPOSITORY} (private)" in capsys.readouterr().out
    assert hub.private is True and set(hub.files) == set(files)
    assert hub.files["config.json"] == (out / "config.json").read_bytes()
    ended = steep("export", "model", out, "--arm", "raw", "--public", cwd=finished)
    assert ended.code == 2 and "--public belongs to an upload" in ended.err
