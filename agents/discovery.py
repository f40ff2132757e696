"""Finding an agent by name: `module:Class`, or an entry point in the group `antiphon.agents`."""

import difflib
import importlib
import inspect
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


def name_of(agent: Any) -> Any:  # Any: a name, or what has one, or a mistake, which is for others to refuse
    """`module:Class` of a class or function that workers can import; a name is that name.

    Raises ExperimentError for one that its module does not have: workers could not find it.
    """
    if not isinstance(agent, type) and not inspect.isfunction(agent):
        return agent
    name = f"{agent.__module__}:{agent.__qualname__}"
    try:
        found = find_agent(name)
    except ExperimentError:
        found = None
    if found is not agent:
        raise ExperimentError(
            f"agent {name} was given as the {type(agent).__name__} itself, and its module has nothing of that name; "
            "expected 'module:Class', which every worker can import. Move it to the top level of a module."
        )
    return name


def _import(name: str, module: str, attribute: str) -> Callable[..., Any]:
    try:
        found: Any = importlib.import_module(module)  # Any: attributes are looked up by name
        for part in attribute.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that is being imported may raise anything, or exit
        raise ExperimentError(
            f"agent {name!r} does not import: {type(error).__name__}: {error}. "
            "Expected 'module:Class' importable on the worker; correct the name, or install its distribution there."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"agent {name!r} is a {type(found).__name__}; expected a class. Name the class that builds it."
        )
    return found
