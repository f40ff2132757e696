"""Find user code by name: `module:attribute`, or an entry point of an installed distribution."""

import difflib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from antiphon.errors import FOREIGN, AntiphonError, ExperimentError, unstopped

GRAMMARS = "antiphon.grammars"
"""Entry-point group of plugins that provide grammars: recipes, or functions that return a grammar."""

ENVIRONMENTS = "antiphon.environments"
"""Entry-point group of plugins that provide classes or functions that make a Gymnasium environment."""

AGENTS = "antiphon.agents"
"""Entry-point group of plugins that provide classes or functions that make an agent (optimizer)."""


RUNTIME_ENV = "runtime_env"
"""The key of an experiment that lets Ray install packages for a worker."""

_ADDRESSES = frozenset({"checkpoint_folder"})
"""Keys of an experiment whose values may be addresses, such as "s3://bucket/run"."""

# "module:name". A module may have any name that a file can have: Gymnasium imports what stands before the colon, also
# of "my-module:Env-v0" and of "module:/x".
_NAMED = re.compile(r"([^:]*):")


def installed(group: str) -> Mapping[str, EntryPoint]:
    """Return the installed entry points of a group, by name.

    Raises ExperimentError if two entry points have the same name and different values.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ExperimentError(
                f"two entry points of the group {group!r} are called {point.name!r}: {_told(other)} and "
                f"{_told(point)}; expected one. Uninstall one of the two distributions."
            )
    return found


def find(what: str, name: str, group: str = "", library: Iterable[str] = ()) -> Callable[..., Any]:
    """Import the function or class that `name` refers to, and return it.

    name: "module:attribute", or the name of an entry point in the group `group`. what: what the user asked for, such as
    "agent", for error messages. library: built-in names, listed in the message about an unknown name.
    Raises ExperimentError if the name is unknown, its module cannot be imported, or the attribute is not callable.
    """
    if ":" in name or not group:
        where = "'module:name', importable from here and on every worker"
        return _loaded(what, name, lambda: _imported(what, name), where, "correct the name or the path")
    points = installed(group)
    if name not in points:
        known = [*library, *sorted(points)]
        raise ExperimentError(
            f"no {what} is called {name!r}; expected one of {', '.join(map(repr, known)) or 'none'}, or 'module:name'. "
            f"{nearest(name, known)}Correct the name, or install the distribution that has it in the group {group!r}."
        )
    point = points[name]
    where = f"{_told(point)}, an entry point in the group {group!r}"
    return _loaded(what, name, point.load, where, f"repair or reinstall {_told(point)}")


def made(
    what: str,
    name: str,
    arguments: Mapping[str, Any],
    group: str = "",
    failure: type[AntiphonError] = ExperimentError,
    where: str = "the arguments",
) -> Any:  # Any: the caller checks what it is
    """Import the function that `name` refers to, call it with keyword arguments, and return its result.

    name: "module:attribute", or the name of an entry point in the group `group`. what: what the user asked for, such as
    "grammar", for error messages. where: the place where the user can correct the arguments, for error messages.
    Raises ExperimentError if the function is not found, and `failure` if the call fails.
    """
    function = find(what, name, group)
    try:
        return function(**arguments)
    except AntiphonError:
        raise
    except FOREIGN as error:  # a user's function may raise anything
        raise failure(
            f"{what} {name!r} cannot be made from the arguments {dict(arguments)}: {type(error).__name__}: "
            f"{unstopped(error)}. Expected a function that takes these; correct it, or {where}."
        ) from error


def refuse_foreign(folder: str, table: Any, allowed: Iterable[str]) -> None:  # Any: TOML
    """Raise ExperimentError if a table that was read from a run folder names code that the user did not allow.

    A run folder is data: opening it must not run code that its author chose. Code is a text with a colon, such as
    "module:name", or a key `runtime_env`, which lets Ray install packages. Names of the library and of installed
    plugins (entry points) are allowed.
    folder: the folder or its experiment, for the error text. allowed: modules that the user allows, with their
    submodules.
    """
    known = tuple(allowed)
    for key, name, module in _foreign(table, ""):
        if not any(module == each or module.startswith(f"{each}.") for each in known):
            raise ExperimentError(
                f"experiment {folder!r} names code of its own: key {key!r} is {name!r}. Expected names of the library "
                f"or of installed plugins, because such code runs with your rights. If you trust {module!r}, allow "
                f"it: --allow {module}."
            )


def _foreign(value: Any, key: str) -> Iterator[tuple[str, Any, str]]:  # Any: TOML
    """Yield key, value and module of each entry of a table that may name code."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            place = f"{key}.{name}" if key else str(name)
            if name == RUNTIME_ENV and below:
                yield place, below, RUNTIME_ENV
            yield from _foreign(below, place)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _foreign(below, key)
    elif isinstance(value, str) and key not in _ADDRESSES and (found := _NAMED.match(value)):
        yield key, value, found[1]


def missing(what: str, extra: str, error: ImportError) -> ExperimentError:
    """Return the error for an optional package that is not installed.

    what: the feature that needs the package, in the plural. extra: the extra of antiphon that installs the package.
    error: the exception of the failed import.
    """
    return ExperimentError(
        f"{what} need the package {error.name or str(error)!r}, which is not installed; expected antiphon with its "
        f"extra {extra!r}. Run: pip install 'antiphon[{extra}]'."
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the most similar of the known names; "" if no name is similar.

    >>> nearest("gama", ["gamma", "batch"])
    "Did you mean 'gamma'? "
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {found[0]!r}? " if found else ""


def _imported(what: str, name: str) -> Any:  # Any: attributes are looked up by name
    module, _, attribute = name.partition(":")
    if module.endswith(".py"):
        path = module.removesuffix(".py").replace("/", ".")
        raise ExperimentError(
            f"{what} {name!r} names a file; expected 'module:name', importable from here. "
            f"Write {f'{path}:{attribute}'!r}."
        )
    if not attribute:
        raise ExperimentError(
            f"{what} {name!r} names no module; expected 'module:name', importable from here. Correct it."
        )
    return pkgutil.resolve_name(name)


def _loaded(what: str, name: str, load: Callable[[], Any], where: str, remedy: str) -> Callable[..., Any]:
    try:
        found = load()
    except AntiphonError:
        raise
    except FOREIGN as error:  # importing a module may raise anything, or exit
        raise ExperimentError(
            f"{what} {name!r} does not import: {type(error).__name__}: {unstopped(error)}. Expected {where}; {remedy}."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"{what} {name!r} is a {type(found).__name__}; expected a function or a class. To mend it, {remedy}."
        )
    return found


def _told(point: EntryPoint) -> str:
    return f"{point.value!r} of {point.dist.name} {point.dist.version}" if point.dist else repr(point.value)
