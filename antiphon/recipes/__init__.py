"""Recipes: for each grammar of the library, the settings of its experiments, and how to build and evaluate it.

Each module in this folder defines the `RECIPE` of one grammar. The grammar has the name of the file, with hyphens
instead of underscores. Modules are imported only when they are used.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from antiphon.plugins import GRAMMARS, find, installed

if TYPE_CHECKING:
    from antiphon.recipes.common.recipe import Recipe

LIBRARY = tuple(sorted(each.name.replace("_", "-") for each in pkgutil.iter_modules(__path__) if not each.ispkg))
"""The names of the library's grammars."""


def known() -> tuple[str, ...]:
    """Return the names of the library's grammars, then the names of the grammars of installed plugins."""
    return (*LIBRARY, *sorted(installed(GRAMMARS)))


def recipe_of(name: str) -> "Recipe | None":
    """Return the recipe of a grammar: the class of its settings, and functions that build and evaluate it.

    name: name of a grammar of the library or of an installed plugin. Returns None if the name refers to a user's
    function that makes a grammar, such as "module:factory".
    Raises ExperimentError if no grammar has that name, or its import fails.
    """
    if name in LIBRARY:
        return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    if ":" in name:
        return None
    from antiphon.recipes.common.recipe import Recipe

    found = find("grammar", name, GRAMMARS, library=LIBRARY)
    return found if isinstance(found, Recipe) else None
