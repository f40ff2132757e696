"""One module for each grammar of the library: its table, and how to build, evaluate and check it.

A module of this folder (not a package) is a grammar. It defines `RECIPE`; its name is the file's, with hyphens. Modules
are imported only when they are used.
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
    """The names of the library's grammars, then those of installed plug-ins."""
    return (*LIBRARY, *sorted(installed(GRAMMARS)))


def recipe_of(name: str) -> "Recipe | None":
    """The recipe of a grammar of the library or of an installed plug-in; None if the name leads to a plain function.

    Raises ExperimentError if there is no grammar of that name, or its import fails.
    """
    if name in LIBRARY:
        return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    if ":" in name:
        return None
    from antiphon.recipes.common.recipe import Recipe

    found = find("grammar", name, GRAMMARS, library=LIBRARY)
    return found if isinstance(found, Recipe) else None
