"""A module for each grammar of the library: its table, how it is built, judged and checked. Found by name here.

A module of this folder that is no package is a grammar: `RECIPE` in it, its name that of the file with hyphens. Nothing
is imported before it is asked for.
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
    """The library's names, then those of installed plug-ins."""
    return (*LIBRARY, *sorted(installed(GRAMMARS)))


def recipe_of(name: str) -> "Recipe | None":
    """What is known of a grammar of the library or of an installed plug-in; None for a function, installed or not.

    Raises ExperimentError when there is none of that name, or it does not import.
    """
    if name in LIBRARY:
        return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    if ":" in name:
        return None
    from antiphon.recipes.common.recipe import Recipe

    found = find("grammar", name, GRAMMARS, library=LIBRARY)
    return found if isinstance(found, Recipe) else None
