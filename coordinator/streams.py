"""The global random streams of a process. They are seeded anew in every round, before each node and each agent runs."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import ReferenceType

import numpy as np
import torch
from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.plain import GLOBAL_HOOKS, is_hooked
from antiphon.grammars.seeds import at_round, begin_streams
from antiphon.grammars.typed import unchecked

Begin: TypeAlias = Callable[[int], None]
"""A function that is called with the round, right before some code runs. It seeds the random streams of that code."""

_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.dtype,
    torch.device,
    torch.Generator,
    np.ndarray,
    ReferenceType,
)
_LONG = 1000
_OURS = "torch", "antiphon"


def beginning(base: int, generators: Sequence[torch.Generator], torch_alone: bool) -> Begin:
    """Return a function that seeds the random streams before some code runs in a round.

    base: seed of this code in this run. generators: torch's generators, which are seeded. torch_alone: seed only these
    generators, for code that draws from no other stream. Seeding the streams of numpy and Python takes four times as
    long as seeding torch's.
    """
    if not torch_alone:
        return lambda round: begin_streams(at_round(base, round), generators)
    if len(generators) == 1:
        manual_seed = generators[0].manual_seed

        def begin(round: int) -> None:
            manual_seed(at_round(base, round))

        return begin

    def begin_all(round: int) -> None:
        seed = at_round(base, round)
        for generator in generators:
            generator.manual_seed(seed)

    return begin_all


def begun(begin: Begin | None, play: Begin) -> Begin:
    """Return a function of the round that first calls `begin`, which seeds the random streams, and then `play`."""
    if begin is None:
        return play

    def after(round: int) -> None:
        begin(round)
        play(round)

    return after


def draws_from_torch_alone(code: object) -> bool:
    """Return whether `code` is known to draw random numbers from torch's streams only, or none.

    The answer is True if the code and all objects in it are plain data, or classes and functions of torch and antiphon.
    It is False for a module with hooks or a replaced `forward`, and for anything that cannot be inspected.

    >>> draws_from_torch_alone(nn.Sequential(nn.Linear(2, 2), nn.Dropout())), draws_from_torch_alone(np.random.rand)
    (True, False)
    """
    return not any(GLOBAL_HOOKS) and _is_known(code, set())


def is_of_antiphon(map: Factory) -> bool:
    """Return whether `map` is a factory of one of antiphon's own functions, with plain arguments.

    These functions draw no random numbers.
    """
    return (getattr(map.target, "__module__", None) or "").startswith("antiphon.") and draws_from_torch_alone(map)


def _is_known(value: Any, seen: set[int]) -> bool:  # Any: whatever an object may hold
    if isinstance(value, _PLAIN) or id(value) in seen:
        return True
    seen.add(id(value))
    if isinstance(value, Tensor):
        return not is_hooked([value])
    if isinstance(value, Mapping):
        return len(value) <= _LONG and all(_is_known(each, seen) for each in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) <= _LONG and all(_is_known(each, seen) for each in value)
    if isinstance(value, functools.partial):
        return all(_is_known(each, seen) for each in (value.func, value.args, value.keywords))
    if isinstance(value, Factory):
        return all(_is_known(each, seen) for each in (value.target, value.arguments, value.keywords))
    if callable(value) and not isinstance(value, nn.Module) and not hasattr(value, "__dict__"):
        return _is_ours(value)  # a builtin
    if callable(value) and hasattr(value, "__qualname__"):
        return _is_ours(value) and not getattr(unchecked(value), "__closure__", None)
    return _is_ours(type(value)) and all(_is_known(each, seen) for each in _held(value))


def _held(value: Any) -> list[Any]:  # Any: whatever an object may hold
    slots = [getattr(value, name, None) for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *slots]


def _is_ours(kind: Any) -> bool:  # Any: a class or a function
    root, *rest = (getattr(kind, "__module__", None) or "").split(".")
    # antiphon's modules for tests count as foreign code.
    return root in _OURS and not any(each.startswith("testing") for each in rest)
