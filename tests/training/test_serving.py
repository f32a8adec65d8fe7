"""The commands that serve an exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_setup import load_tokenizer

from steep.training.chat_formats import FORMATS, chat_format_of
from steep.training.serving import (
    llama_server_command,
    modelfile_text,
    served_model,
    vllm_command,
)

LLAMA_3 = (
    "{% for message in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}"
    "{% endif %}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + "
    "eos_token + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_directory: Path) -> Any:
    return load_tokenizer(tiny_directory)


@pytest.mark.parametrize(("template", "number"), [(WITH_DEFAULT, 0), (LLAMA_3, 1)])
def test_known_chat_templates_are_recognized(tokenizer: Any, template: str, number: int) -> None:
    tokenizer.chat_template = template
    found = chat_format_of(tokenizer)
    assert found is not None and found.stop == FORMATS[number].stop
    assert found.default_system == ("Be kind" if template is WITH_DEFAULT else None)
    assert found.go_template == FORMATS[number].go_template


def test_the_end_of_an_answer_is_part_of_the_format(tokenizer: Any) -> None:
    tokenizer.chat_template = ZEPHYR
    assert chat_format_of(tokenizer) is None, "its eos_token is another one"
    tokenizer.add_special_tokens({"eos_token": "</s>"})
    assert chat_format_of(tokenizer) == FORMATS[2]


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no system') }}",
        "{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}",
        WITH_DEFAULT.replace("{% if messages", "{{ 'Today: ' }}{% if messages"),
        WITH_DEFAULT.replace("Be kind<|im_end|>", "Be kind"),
        None,
    ],
)
def test_other_chat_templates_are_not(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template
    assert chat_format_of(tokenizer) is None


def test_a_modelfile_of_a_chat_format(tiny_directory: Path, tokenizer: Any, tmp_path: Path) -> None:
    served = served_model(tiny_directory, "a-model")
    assert modelfile_text(tmp_path / "x.gguf", served) == (
        "FROM ./x.gguf\n"
        'TEMPLATE """{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}'
        "{{ if .Prompt }}<|im_start|>user\n{{ .Prompt }}<|im_end|>\n{{ end }}"
        '<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"""\n'
        "PARAMETER num_ctx 1024\nPARAMETER temperature 0\n"
        'PARAMETER stop "<|im_end|>"\n'
    )
    tokenizer.chat_template = WITH_DEFAULT
    write_with(tiny_directory, tokenizer, tmp_path / "default")
    text = modelfile_text(tmp_path / "x.gguf", served_model(tmp_path / "default", "a-model"))
    assert 'SYSTEM """Be kind"""\n' in text


def test_a_modelfile_without_a_known_format(
    tiny_directory: Path, tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer.chat_template = None
    write_with(tiny_directory, tokenizer, tmp_path / "base")
    base = modelfile_text(Path("x.gguf"), served_model(tmp_path / "base", "a-model"))
    assert 'TEMPLATE """{{ .Prompt }}"""' in base
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    write_with(tiny_directory, tokenizer, tmp_path / "other")
    other = modelfile_text(Path("x.gguf"), served_model(tmp_path / "other", "a-model"))
    assert "TEMPLATE" not in other, "Ollama reads the template in the file"


def write_with(source: Path, tokenizer: Any, target: Path) -> None:
    """A copy of the tiny model with another tokenizer."""
    import shutil

    shutil.copytree(source, target)
    (target / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(target)


def test_commands(tiny_directory: Path) -> None:
    served = served_model(tiny_directory, "a-model")
    assert vllm_command("my dir", served) == (
        "vllm serve 'my dir' --served-model-name a-model --max-model-len 1024 --dtype float32 "
        "--generation-config vllm"
    )
    assert llama_server_command(Path("x.gguf"), served) == (
        "llama-server -m x.gguf --alias a-model -c 1024 --port 8080"
    )
