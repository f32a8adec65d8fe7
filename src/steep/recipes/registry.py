"""Which recipes exist: the built-in ones, those of installed packages, and templates of the user.

A package adds a recipe by an entry point of the group `steep.recipes`, whose value is a
`RecipeKind`:

    [project.entry-points."steep.recipes"]
    my-recipe = "my_package.recipe:KIND"
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.recipes import (
    active_reading,
    cross_document,
    entigraph,
    focal,
    knowledge_instruct,
    nemotron,
    qa,
    rephrase,
    spa,
    summaries,
    template,
)
from steep.recipes.recipe import Recipe, RecipeKind, RecipeOptions, Writer

GROUP = "steep.recipes"
BUILT_IN = {
    "entigraph": entigraph.KIND,
    "rephrase": rephrase.KIND,
    "qa": qa.KIND,
    "summaries": summaries.KIND,
    "knowledge-instruct": knowledge_instruct.KIND,
    "cross-document": cross_document.KIND,
    "nemotron": nemotron.KIND,
    "spa": spa.KIND,
    "active-reading": active_reading.KIND,
    "focal": focal.KIND,
}


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def recipe_names() -> list[str]:
    """Return the names of all built-in and installed recipes."""
    return sorted({*BUILT_IN, *_installed()})


def kind_of(name: str, options: Any = None) -> RecipeKind:
    """Return the kind of a recipe by its name; a name with a `template` in its options is one.

    Raises:
        UserError: There is no such recipe, or what an installed package registers is none.
    """
    if name == RAW_RECIPE:
        raise UserError(
            f"A recipe must not be called '{RAW_RECIPE}', which stands for the raw documents.",
            where="generate.recipes",
        )
    if name in BUILT_IN:
        return BUILT_IN[name]
    if (point := _installed().get(name)) is not None:
        return _loaded(point)
    if isinstance(options, template.TemplateOptions) or (
        isinstance(options, dict) and "template" in options
    ):
        return template.KIND
    near = difflib.get_close_matches(name, recipe_names(), n=1)
    raise UserError(
        f"There is no recipe '{name}'.",
        where="generate.recipes",
        expected=f"one of {', '.join(recipe_names())}; or a name of your own with a template",
        hint=f"did you mean '{near[0]}'?"
        if near
        else f"{name}: {{template: prompt.md, samples: 4}} makes a recipe of a prompt",
    )


def _loaded(point: EntryPoint) -> RecipeKind:
    where = f"the entry point '{point.name}' of {point.value.partition(':')[0]}"
    try:
        kind = point.load()
    except Exception as error:
        raise UserError(
            f"The recipe '{point.name}' of an installed package cannot be loaded.",
            where=where,
            found=f"{type(error).__name__}: {error}",
            hint="install the package again, or remove it",
        ) from error
    if not isinstance(kind, RecipeKind):
        raise UserError(
            f"The recipe '{point.name}' of an installed package is not a RecipeKind.",
            where=where,
            expected="a steep.recipes.recipe.RecipeKind",
            found=repr(kind),
        )
    return kind


def make_recipe(name: str, options: RecipeOptions, writer: Writer) -> Recipe:
    """Return the recipe of this name.

    Raises:
        UserError: There is no such recipe, or its template cannot be used.
    """
    return kind_of(name, options).make(name, options, writer)
