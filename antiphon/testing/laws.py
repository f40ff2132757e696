"""Functions for the laws of agents and of oracles. They check states, memory and the global random streams."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from antiphon.coordinator.checkpoint import split_state
from antiphon.errors import FOREIGN, AntiphonError, ExperimentError

Subject = TypeVar("Subject")

Failure: TypeAlias = tuple[str, str, str] | None
"""What was expected, what arrived, and the remedy; None if the rule holds."""


def first_failure(laws: Sequence[Callable[[Subject], Failure]], subject: Subject, seeded_by: str) -> Failure:
    """Return the failure of the first law that does not hold. None if all hold.

    After the laws, it is also a failure if a global random stream was drawn from.
    seeded_by: the argument that brings the seed, for the message.
    """
    before = _streams()
    for law in laws:
        try:
            failed = law(subject)
        except AntiphonError:
            raise
        except FOREIGN as error:
            failed = "it to play", f"{type(error).__name__} was raised: {error}", "Correct it, or its arguments."
        if failed is not None:
            return failed
    if _streams() == before:
        return None
    remedy = f"Draw from a torch.Generator of its own, seeded by {seeded_by}."
    return "the global random streams untouched", "it drew from one", remedy


def broken_contract(who: str, failure: tuple[str, str, str]) -> str:
    """Return the text of the error for a broken law. who: name of the agent or oracle."""
    expected, arrived, remedy = failure
    return f"{who} breaks its contract: expected {expected}; {arrived}. {remedy}"


def lacks(subject: object, *methods: str) -> Failure:
    """Return the failure that names the methods that `subject` lacks; None if it has all."""
    missing = [method for method in methods if not callable(getattr(subject, method, None))]
    if missing:
        return f"the methods {', '.join(methods)}", f"{', '.join(missing)} missing", "Write what is missing."
    return None


def cannot_be_saved(state: Any) -> Failure:  # Any: a state that may break its contract
    """Return the failure that says why a checkpoint cannot save this state; None if it can."""
    try:
        split_state("it", state)
    except ExperimentError as error:
        arrived, _, remedy = str(error).partition(". ")
        return "a state that can be saved", arrived, remedy
    return None


def tensors(state: Any) -> Iterator[Tensor]:  # Any: a state has leaves of several types
    """Yield the tensors in a state, at any depth."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, (Mapping, list, tuple)):
        for item in state.values() if isinstance(state, Mapping) else state:
            yield from tensors(item)


def spoil(values: Iterable[Tensor]) -> None:
    """Overwrite these tensors in place. A law then checks that no agent or oracle still reads them."""
    with torch.no_grad():
        for value in values:
            value.fill_(1 if value.dtype == torch.bool else 77)


def _streams() -> tuple[bytes, object, str]:
    """Return the states of the global random streams of torch, Python and numpy."""
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), repr(np.random.get_state())
