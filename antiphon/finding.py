"""Finding a user's own function by its name, `module:function`."""

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from antiphon.errors import FOREIGN, AntiphonError, ExperimentError


def find(what: str, name: str) -> Callable[..., Any]:
    """The callable of that name. Any: the caller checks what it returns.

    Raises ExperimentError when its module does not import, or has no such function.
    """
    module, _, attribute = name.partition(":")
    if module.endswith(".py"):
        path = module.removesuffix(".py").replace("/", ".")
        raise ExperimentError(
            f"{what} {name!r} names a file; expected 'module:function', importable from here. "
            f"Write {f'{path}:{attribute}'!r}."
        )
    try:
        found: Any = importlib.import_module(module)  # Any: attributes are looked up by name
        for part in attribute.split("."):
            found = getattr(found, part)
    except FOREIGN as error:  # a module that is being imported may do anything
        raise ExperimentError(
            f"{what} {name!r} does not import: {type(error).__name__}: {error}. "
            "Expected 'module:function', importable from here; correct the name, or change to its folder."
        ) from error
    if not callable(found):
        raise ExperimentError(
            f"{what} {name!r} is a {type(found).__name__}; expected a function. Name the function that makes it."
        )
    return found


def made(what: str, name: str, arguments: Mapping[str, Any]) -> Any:  # Any: the caller checks what it is
    """What the function of that name returns for these arguments. Raises ExperimentError when it raises, or is none."""
    function = find(what, name)
    try:
        return function(**arguments)
    except AntiphonError:
        raise
    except FOREIGN as error:  # a user's function may do anything
        raise ExperimentError(
            f"{what} {name!r} cannot be made from the arguments {dict(arguments)}: {type(error).__name__}: {error}. "
            "Expected a function that takes these; correct it, or the arguments."
        ) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that asks whether the nearest known name was meant; empty when none is near.

    >>> nearest("gama", ["gamma", "batch"])
    "Did you mean 'gamma'? "
    """
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {found[0]!r}? " if found else ""
