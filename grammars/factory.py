"""A `Factory`: a callable with its arguments, as a value that can be described in text, compared, and called on a
worker.
"""

import dataclasses
import functools
import hashlib
import inspect
import operator
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from types import CellType, CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch._library.custom_ops import CustomOpDef

from antiphon.errors import GrammarError, unstopped
from antiphon.grammars.typed import typed
from antiphon.grammars.types import is_dense


@typed
@dataclass(frozen=True, eq=False)
class Factory:
    """A call `target(*arguments, **keywords)` that is stored as a value and executed later, on a worker.

    Two factories are equal if their descriptions are equal. So a grammar can be hashed, compared and drawn before any
    parameter exists.

    >>> Factory.of(torch.nn.Linear, 2, 3, bias=False)
    torch.nn.modules.linear:Linear(2, 3, bias=False)
    """

    target: Callable[..., Any]  # Any: it may make anything
    arguments: tuple[Any, ...] = ()  # Any: whatever the target takes
    keywords: tuple[tuple[str, Any], ...] = ()

    @classmethod
    @typed
    def of(cls, target: "Callable[..., Any] | Factory", *arguments: Any, **keywords: Any) -> "Factory":
        """Make the factory of the call `target(*arguments, **keywords)`.

        If `target` is a factory, its own arguments come before the new ones. Raises GrammarError if an argument cannot
        be described in text.
        """
        if isinstance(target, Factory):
            return cls.of(target.target, *target.arguments, *arguments, **{**dict(target.keywords), **keywords})
        factory = cls(target, arguments, tuple(sorted(keywords.items())))
        _ = factory.description
        return factory

    def __call__(self) -> Any:
        """Call the target with the stored arguments, and return its result."""
        return self.target(*self.arguments, **dict(self.keywords))

    @functools.cached_property
    def description(self) -> str:
        """Canonical text of the call. Factories with equal descriptions make equal objects, if they are called with the
        same seed.
        """
        return _call(describe(self.target), self.arguments, self.keywords, describe)

    def __repr__(self) -> str:
        return _call(_name(self.target), self.arguments, self.keywords, _short)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Factory) and self.description == other.description

    def __hash__(self) -> int:
        return hash(self.description)


def describe(value: object) -> str:
    """Canonical text of a value: the same in every process, different for different values.

    If a value contains itself (a list, a function), the inner occurrence is written `^n`, with n the number of levels
    up. Raises GrammarError for a live object, such as a module, because it does not exist on another machine.
    """
    within = _WITHIN.get()
    if id(value) in within:
        return f"^{len(within) - within.index(id(value))}"
    token = _WITHIN.set((*within, id(value)))
    try:
        return _described(value)
    except RecursionError:
        raise GrammarError(
            f"a grammar cannot carry a {type(value).__name__} in which values are nested hundreds deep; expected a few "
            "levels. Pass a function that makes it."
        ) from None
    finally:
        _WITHIN.reset(token)


_WITHIN: ContextVar[tuple[int, ...]] = ContextVar("within", default=())
"""Ids of the values that are being described, from the outermost to the innermost.

These values are alive during the description, so their ids are unique."""


def _described(value: object) -> str:
    for kinds, text in _DESCRIPTIONS:
        if isinstance(value, kinds):
            return text(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return _call(_name(type(value)), (), tuple(fields), describe)
    if callable(value) and not isinstance(value, torch.nn.Module):
        return _describe_callable(value)
    raise GrammarError(
        f"a grammar cannot carry {value!r}: it is a live {type(value).__name__} object. "
        "Expected a class or function with its arguments; pass `SomeClass, argument, keyword=...` instead of an "
        "instance."
    )


def _describe_array(value: np.ndarray) -> str:
    if value.dtype.hasobject:  # its bytes are addresses of objects
        return f"array({value.dtype}, {value.shape}, {describe(value.tolist())})"
    digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"array({value.dtype}, {value.shape}, {digest})"


def _describe_tensor(value: torch.Tensor) -> str:
    if value.is_meta or not is_dense(value):
        raise GrammarError(
            f"a grammar cannot carry a tensor of layout {value.layout} and {value.dtype} on device {value.device}; "
            "expected numbers in dense memory. Convert it (to_dense, dequantize), or pass a function that makes it."
        )
    raw = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"tensor({value.dtype}, {tuple(value.shape)}, {hashlib.sha256(raw.tobytes()).hexdigest()})"


def _describe_mapping(value: Mapping[Any, Any]) -> str:
    items = sorted((describe(key), describe(item)) for key, item in value.items())
    return "{" + ", ".join(f"{key}: {item}" for key, item in items) + "}"


def _describe_sequence(value: tuple[Any, ...] | list[Any]) -> str:
    # For the factories of this package, a list and a tuple of the same items are the same argument.
    return "(" + ", ".join(map(describe, value)) + ")"


def _describe_partial(value: "functools.partial[Any]") -> str:
    return _call(describe(value.func), value.args, tuple(sorted(value.keywords.items())), describe)


def _describe_callable(value: Callable[..., Any]) -> str:
    """Return canonical text of a callable: its module and name, and a digest or its state if the name does not identify
    it.

    A digest of the code is added for a lambda, a local function, and a function from a notebook or a decorator. The
    text of a callable object contains its state.
    """
    owner = getattr(value, "__self__", None)
    if owner is not None and not inspect.ismodule(owner) and not inspect.isbuiltin(value):
        return f"{describe(owner)}.{getattr(value, '__name__', '')}"
    compiled = getattr(value, "_torchdynamo_orig_callable", None)
    if compiled is not None:
        return f"compiled {describe(compiled)}"
    name, found = _name(value), _found(_name(value))
    if isinstance(value, type) or (found is value and not name.startswith("__main__:")):
        return name
    if not hasattr(value, "__code__"):
        return _describe_object(value, name)
    if found is None and "<" not in name and not name.startswith("__main__:"):
        return name
    function: Any = value
    cells = tuple(map(_contents, function.__closure__ or ()))
    keywords = describe(function.__kwdefaults__) if function.__kwdefaults__ else ""
    return f"{name}#{_digest(function.__code__)}{describe(cells)}{describe(function.__defaults__ or ())}{keywords}"


def _found(name: str) -> object:
    """Return the object with the name `module:path` if its module is imported already, else None."""
    module, _, path = name.partition(":")
    try:
        return operator.attrgetter(path)(sys.modules[module])
    except (KeyError, AttributeError):
        return None


def _describe_object(value: Any, name: str) -> str:  # Any: an object that can be called
    """Return canonical text of what pickle would save of the object: its class, the arguments of the class, and its
    state.
    """
    try:
        told = value.__reduce_ex__(2)
    except Exception as error:  # an object may raise anything here
        raise GrammarError(
            f"a grammar cannot carry {name!r}, a live {type(value).__name__} object, which cannot be pickled: "
            f"{unstopped(error)}. "
            "Expected a function, or an object that can; pass a class with its arguments."
        ) from error
    if isinstance(told, str):
        return name
    return describe((*told[:3], *(tuple(items) for items in told[3:5] if items is not None)))


def _contents(cell: CellType) -> Any:  # Any: whatever the closure holds
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later, e.g. by a function that refers to itself
        return "unbound"


def _digest(code: CodeType) -> str:
    constants = list(map(_constant, code.co_consts))
    text = f"{code.co_code.hex()}|{constants}|{code.co_names}|{code.co_varnames}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _digest(value)
    if isinstance(value, frozenset):  # a set of strings has another order in another process
        return f"frozenset({sorted(map(repr, value))})"
    return repr(value)


def _name(value: object) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__name__
    # torch's own functions, such as `torch.add`, report a class of this name as their home.
    return f"{getattr(value, '__module__', None) or 'builtins'}:{name.removeprefix('_VariableFunctionsClass.')}"


def _short(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, torch.Tensor):
        return f"tensor{tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if callable(value) and not isinstance(value, Factory):
        return getattr(value, "__name__", repr(value))
    return repr(value)


def _call(
    name: str, arguments: tuple[Any, ...], keywords: tuple[tuple[str, Any], ...], text: Callable[[object], str]
) -> str:
    parts = [text(argument) for argument in arguments] + [f"{key}={text(value)}" for key, value in keywords]
    return f"{name}({', '.join(parts)})"


_DESCRIPTIONS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (Factory, lambda value: value.description),
    (Enum, lambda value: f"{_name(type(value))}.{value.name}"),
    ((type(None), bool, int, float, complex, str, bytes), repr),
    ((torch.dtype, torch.device, torch._ops.OpOverload, torch._ops.OpOverloadPacket), str),
    (CustomOpDef, lambda value: str(value._opoverload)),
    (torch.jit.ScriptFunction, lambda value: value.code),
    (torch.Tensor, _describe_tensor),
    (np.ndarray, _describe_array),
    (np.generic, repr),
    (ModuleType, lambda value: f"module {value.__name__}"),
    (Mapping, _describe_mapping),
    ((tuple, list), _describe_sequence),
    ((set, frozenset), lambda value: describe(tuple(sorted(value, key=describe)))),
    (functools.partial, _describe_partial),
)
