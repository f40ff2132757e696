"""A decorator that checks arguments against their annotations, and names the function, argument and expected type."""

import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from antiphon.errors import ExperimentError
from antiphon.grammars.numbers import LARGEST, told

F = TypeVar("F", bound=Callable[..., Any])  # Any: arguments of every kind are checked here
_NUMBERS = {int: numbers.Integral, float: numbers.Real}


def typed(target: F) -> F:
    """Make a function or class check its arguments against its annotations. A wrong argument raises ExperimentError at
    the call.

    For a class, the arguments of its constructor are checked. Items of tuples, lists and mappings are checked as well.
    A boolean does not count as a number, nor does NaN. An integer has at most 64 bits. `Annotated[int, Range(least=1)]`
    adds a range.

    >>> @typed
    ... def double(count: int) -> int:
    ...     return 2 * count
    >>> double(4)
    8
    >>> double("4")
    Traceback (most recent call last):
    antiphon.errors.ExperimentError: double was given '4' (a str) as 'count'; expected int. Correct this argument.
    """
    if not isinstance(target, type):
        return _checked(target, target.__qualname__.rpartition("<locals>.")[2], inspect.signature(target))
    made: Any = target  # Any: a class of this package
    made.__init__ = _checked(made.__init__, target.__name__, inspect.signature(made.__init__))
    return made


def _checked(function: Any, name: str, signature: inspect.Signature) -> Any:  # Any: functions of any signature
    shown = signature.replace(
        parameters=[each for key, each in signature.parameters.items() if key not in ("self", "cls")]
    )

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:  # Any: checked against the annotations
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ExperimentError(
                f"{name} cannot be called so: {error}; expected {name}{shown}. Correct the call."
            ) from None
        hints = _hints(function)
        for key, value in _each(signature, given):
            if key in hints and not _fits(value, hints[key]):
                raise ExperimentError(
                    f"{name} was given {told(value)} as {key!r}; expected {inspect.formatannotation(hints[key])}. "
                    "Correct this argument."
                )
        return function(*args, **kwargs)

    made: Any = checked  # Any: a function takes further attributes
    made.unchecked = function
    return checked


def unchecked(function: F) -> F:
    """Return the function without the checks of the decorator `typed`.

    Rounds call functions without the checks, because types are checked when the graph is built.
    """
    return getattr(function, "unchecked", function)


def _each(signature: inspect.Signature, given: Mapping[str, Any]) -> Iterator[tuple[str, object]]:  # Any: arguments
    """Yield every argument with the name of its parameter. Arguments of `*args` and `**kwargs` come one by one."""
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
    return get_type_hints(function, include_extras=True)


def _fits(value: Any, hint: Any) -> bool:  # Any: an argument, and an annotation
    if hint is None:
        return value is None
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, inner[0]) and all(value in each for each in hint.__metadata__)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if isinstance(hint, TypeVar):
        return hint.__bound__ is None or _fits(value, hint.__bound__)
    kind = origin or hint
    if not isinstance(kind, type) or kind is Any:
        return True
    if kind in _NUMBERS:
        return _is_number(value, kind)
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, each) for each in vars(kind) if not each.startswith("_"))
    if kind is tuple or kind is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str | bytes) and _holds(value, inner)
    if kind is not Mapping and kind.__module__ == "collections.abc" and issubclass(kind, Iterable):
        scattered = not isinstance(value, str | bytes) and not hasattr(value, "__array__")
        return scattered and isinstance(value, kind) and _holds(value, inner)
    return isinstance(value, kind) and _holds(value, inner)


def _is_number(value: Any, kind: type) -> bool:  # Any: an argument
    if isinstance(value, bool) or not isinstance(value, _NUMBERS[kind]):
        return False
    return -LARGEST <= int(value) <= LARGEST if isinstance(value, numbers.Integral) else not math.isnan(value)


def _holds(value: Any, inner: tuple[Any, ...]) -> bool:  # Any: a container, and the annotations of what is in it
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(_fits(key, inner[0]) and _fits(each, inner[1]) for key, each in value.items())
    if not isinstance(value, tuple | list | set | frozenset) or not inner:
        return True  # a check would use up an iterator
    if len(inner) == 1 or inner[1] is Ellipsis:
        return all(_fits(each, inner[0]) for each in value)
    return len(value) == len(inner) and all(map(_fits, value, inner))
