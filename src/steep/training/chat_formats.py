"""Chat templates in the language of Ollama, for the formats that are known here.

A tokenizer has its template in Jinja, an Ollama Modelfile in Go's template language. A format is
recognized by rendering a conversation with the tokenizer's own template and comparing it with the
format character by character; any other template is left to Ollama, which knows more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLAIN = "{{ .Prompt }}"  # the Go template of a model without a chat format


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """How messages are written, with `{}` for their text.

    Attributes:
        system: A message of the system.
        user: A message of the user.
        opening: What stands before an answer.
        closing: What stands after an answer.
        stop: The token that ends an answer.
        default_system: The text of the system where the conversation has none.
    """

    system: str
    user: str
    opening: str
    closing: str
    stop: str
    default_system: str | None = None

    def conversation(self, system: str, user: str, answer: str) -> str:
        """Return a conversation of four messages that waits for an answer."""
        first = self.system.replace("{}", system) + self.user.replace("{}", user)
        again = self.user.replace("{}", user)
        return first + self.opening + answer + self.closing + again + self.opening

    @property
    def go_template(self) -> str:
        """The template for one turn, in the language of a Modelfile."""
        system = self.system.replace("{}", "{{ .System }}")
        user = self.user.replace("{}", "{{ .Prompt }}")
        return (
            f"{{{{ if .System }}}}{system}{{{{ end }}}}{{{{ if .Prompt }}}}{user}{{{{ end }}}}"
            f"{self.opening}{{{{ .Response }}}}{self.closing}"
        )


def _llama_3(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


FORMATS = (
    ChatFormat(  # ChatML: SmolLM2, Qwen
        "<|im_start|>system\n{}<|im_end|>\n",
        "<|im_start|>user\n{}<|im_end|>\n",
        "<|im_start|>assistant\n",
        "<|im_end|>\n",
        "<|im_end|>",
    ),
    ChatFormat(
        f"{_llama_3('system')}{{}}<|eot_id|>",
        f"{_llama_3('user')}{{}}<|eot_id|>",
        _llama_3("assistant"),
        "<|eot_id|>",
        "<|eot_id|>",
    ),
    ChatFormat(  # Zephyr: TinyLlama
        "<|system|>\n{}</s>\n", "<|user|>\n{}</s>\n", "<|assistant|>\n", "</s>\n", "</s>"
    ),
)


def chat_format_of(tokenizer: Any) -> ChatFormat | None:
    """Return the format of a tokenizer's chat template; None if there is none, or another one."""
    if not tokenizer.chat_template:
        return None
    begin = tokenizer.bos_token or ""
    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "U"},
    ]
    rendered = _rendered(tokenizer, messages)
    for each in FORMATS:
        whole = each.conversation("S", "U", "A")
        if rendered in (whole, begin + whole):
            return _with_default(each, _rendered(tokenizer, messages[1:2]), begin)
    return None


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    from jinja2 import TemplateError

    try:
        found: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    except TemplateError:  # raised by templates for roles that they do not know
        return None
    return found


def _with_default(known: ChatFormat, rendered: str | None, begin: str) -> ChatFormat | None:
    """Return the format with its default system message, from a conversation without one."""
    alone = known.user.replace("{}", "U") + known.opening
    if rendered in (alone, begin + alone):
        return known
    before, after = known.system.split("{}")
    tail = after + alone
    for start in (before, begin + before):
        if rendered and rendered.startswith(start) and rendered.endswith(tail):
            default = rendered[len(start) : -len(tail)]
            return ChatFormat(
                known.system, known.user, known.opening, known.closing, known.stop, default
            )
    return None
