"""Arguments held against their annotations, where users call us: who takes what, and what arrived."""

import functools
import inspect
import numbers
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from antiphon.errors import ExperimentError

P = ParamSpec("P")
R = TypeVar("R")
_NUMBERS = {int: numbers.Integral, float: numbers.Real}


def typed(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which refuses arguments of another type: an ExperimentError instead of a failure further inside.

    >>> @typed
    ... def double(count: int) -> int:
    ...     return 2 * count
    >>> double(4)
    8
    >>> double("4")
    Traceback (most recent call last):
    antiphon.errors.ExperimentError: double was given '4' as 'count'; expected int. Correct this argument.
    """
    signature, name = inspect.signature(function), function.__name__

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ExperimentError(
                f"{name} cannot be called so: {error}; expected {name}{signature}. Correct the call."
            ) from None
        check_types(name, _hints(function), _each(signature, given))
        return function(*args, **kwargs)

    return checked


def check_fields(instance: Any) -> None:  # Any: of a dataclass
    """Hold the fields of a dataclass against their annotations, as `typed` does with arguments."""
    own = ((each.name, getattr(instance, each.name)) for each in fields(instance))
    check_types(type(instance).__name__, _hints(type(instance)), own)


def check_types(who: str, hints: Mapping[str, Any], given: Iterable[tuple[str, object]]) -> None:  # Any: annotations
    """Raises ExperimentError for the first value that is not of its annotation. What is inside of containers, and what
    is annotated as a protocol, is not looked at."""
    for key, value in given:
        if key in hints and not _fits(value, hints[key]):
            raise ExperimentError(
                f"{who} was given {_short(value)} as {key!r}; expected {inspect.formatannotation(hints[key])}. "
                "Correct this argument."
            )


def _each(signature: inspect.Signature, given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:  # Any: arguments
    """Every argument with its parameter; those that one starred parameter collects, one by one."""
    for key, value in given.items():
        kind = signature.parameters[key].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((key, each) for each in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((key, each) for each in value.values())
        else:
            yield key, value


@functools.cache
def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    return get_type_hints(function)


def _fits(value: object, hint: Any) -> bool:
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    if origin is Literal:
        return isinstance(value, str) or value in get_args(hint)  # which strings there are, says who is called
    kind = _NUMBERS.get(hint, origin or hint)
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    if kind is tuple or (issubclass(kind, Iterable) and kind.__module__ == "collections.abc" and kind is not Mapping):
        return isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return isinstance(value, kind)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"
