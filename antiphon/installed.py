"""What other distributions bring: grammars and environments by name, as entry points in a group of antiphon's."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from antiphon.errors import FOREIGN, ExperimentError
from antiphon.finding import find

GRAMMARS = "antiphon.grammars"
"""Entry points are functions that return a grammar; they are called with the table [arguments]."""

ENVIRONMENTS = "antiphon.environments"
"""Entry points are classes or functions that make an environment of Gymnasium."""


def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group, by name. Raises ExperimentError when two distributions offer different ones."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ExperimentError(
                f"two entry points of the group {group!r} are called {point.name!r}: {told(other)} and {told(point)}; "
                "expected one. Uninstall one of the two distributions."
            )
    return found


def told(point: EntryPoint) -> str:
    """What it names, and whose it is."""
    return f"{point.value!r} of {point.dist.name} {point.dist.version}" if point.dist else repr(point.value)


def find_installed(what: str, point: EntryPoint) -> Callable[..., Any]:
    """What an entry point names. Any: the caller checks what it returns.

    Raises ExperimentError when it does not import, or is nothing that can be called.
    """
    try:
        found = point.load()
    except FOREIGN as error:  # a module that is being imported may do anything
        raise ExperimentError(
            f"{what} {point.name!r} does not import: {type(error).__name__}: {error}. "
            f"Expected {told(point)}, an entry point in the group {point.group!r}, to be there; "
            "repair that distribution, or install it anew."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"{what} {point.name!r} is a {type(found).__name__}; expected a function or a class. "
            f"Repair the entry point {told(point)} in the group {point.group!r}."
        )
    return found


def find_grammar(name: str) -> Callable[..., Any]:
    """The function that makes a grammar: `module:function`, or an installed one. Any: what it returns is checked later.

    Raises ExperimentError when there is none of that name, or it does not import.
    """
    point = None if ":" in name else installed(GRAMMARS).get(name)
    return find_installed("grammar", point) if point else find("grammar", name)


def find_environment(name: str) -> str | Callable[..., Any]:
    """An installed environment's class or function; any other name as it is, for Gymnasium, whose own names go first.

    Raises ExperimentError when it does not import.
    """
    from antiphon.envs.environment import registered  # here: whoever looks for a grammar does not wait for Gymnasium

    point = None if ":" in name or registered(name) else installed(ENVIRONMENTS).get(name)
    return find_installed("environment", point) if point else name
