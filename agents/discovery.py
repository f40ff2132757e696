"""Finding an agent by name: `module:Class`, or an entry point in the group `antiphon.agents`."""

import difflib
import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from antiphon.errors import ExperimentError

GROUP = "antiphon.agents"


def find_agent(name: str) -> Callable[..., Any]:
    """The class (or function) that builds agents of this name. Any: whether they are agents is seen once one is built.

    Raises ExperimentError when there is none, or when its module does not import.
    """
    if ":" in name:
        return _import(name, *name.split(":", 1))
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        near = difflib.get_close_matches(name, ["torch", *installed], n=3) or ["torch", *sorted(installed)]
        raise ExperimentError(
            f"no agent is called {name!r}; expected {' or '.join(map(repr, near))}, or 'module:Class'. "
            f"Correct the name, or install the distribution with that entry point in the group {GROUP!r}."
        )
    return _import(name, installed[name].module, installed[name].attr)


def _import(name: str, module: str, attribute: str) -> Callable[..., Any]:
    try:
        found: Any = importlib.import_module(module)  # Any: attributes are looked up by name
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module that is being imported may raise anything
        raise ExperimentError(
            f"agent {name!r} does not import: {type(error).__name__}: {error}. "
            "Expected 'module:Class' importable on the worker; correct the name, or install its distribution there."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"agent {name!r} is a {type(found).__name__}; expected a class. Name the class that builds it."
        )
    return found
