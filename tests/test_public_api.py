"""What users import from `steep`: a change here is a change of the public API."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import steep

PUBLIC = {
    "Call": ("(recipe, stage, document_id, subset, sample, model, messages, sampling, textless)"),
    "Completion": (
        "(call_id, text, finish_reason, usage, cost_usd, latency_s, endpoint, attempts, error, "
        "result)"
    ),
    "Config": None,
    "Document": "(id, title, text, author, year, source, metadata)",
    "Message": "(role, parts)",
    "Passage": "(id, text, document_id, call_id, rank, recipe, subset, words)",
    "Range": "(low, expected, high)",
    "Recipe": "(name, steps)",
    "RecipeKind": "(options, make)",
    "RecipeOptions": None,
    "Rejected": "(reason)",
    "Repeated": "(make, number, basis)",
    "SampledOptions": None,
    "Sampling": (
        "(temperature, top_p, max_tokens, frequency_penalty, json_schema, reasoning_effort)"
    ),
    "Scores": "(results, skipped, environments)",
    "Step": "()",
    "UserError": "(problem, where, expected, found, hint)",
    "Writer": "(model, sampling, seed, reasoning_tokens)",
    "ask": "(recipe, step, document, writer, messages, subset, sample, sampling)",
    "derive_seed": "(parts)",
    "load_config": "(path, overrides)",
    "read_documents": "(path, columns, exclude)",
    "read_passages": "(path)",
    "read_scores": "(path)",
}


def test_the_public_names_are_these() -> None:
    assert set(steep.__all__) == set(PUBLIC)
    assert steep.__all__ == sorted(steep.__all__)
    assert set(steep.__all__) <= set(dir(steep))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_keeps_its_parameters_and_says_what_it_is(name: str) -> None:
    item = getattr(steep, name)
    assert inspect.getdoc(item)
    if (parameters := PUBLIC[name]) is not None:
        assert f"({', '.join(inspect.signature(item).parameters)})" == parameters


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Recpie'"):
        _ = steep.Recpie  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    """What they read stands under TYPE_CHECKING, and the package says that it has types."""
    tree = ast.parse(Path(steep.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert set(seen) == set(PUBLIC)
    for name, module in seen.items():
        assert getattr(importlib.import_module(str(module)), name) is getattr(steep, name)
    assert Path(steep.__file__).with_name("py.typed").exists()


def test_importing_steep_imports_nothing_else() -> None:
    script = "import sys, steep; print(sum(name.startswith('steep.') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "0", done.stderr
