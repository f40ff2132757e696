"""Functions that the conformance tests of agents and of oracles share. A test of one rule is called a law."""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from antiphon.coordinator.checkpoint import split_state
from antiphon.errors import FOREIGN, AntiphonError, ExperimentError, unstopped
from antiphon.grammars.states import map_tensors

Subject = TypeVar("Subject")


class BrokenLaw(Exception):
    """A rule of a contract is broken. The message says what was expected, what arrived, and the remedy."""


def demand(holds: bool, expected: str, arrived: str, remedy: str) -> None:
    """Raise BrokenLaw, with a message from the other arguments, if `holds` is false."""
    if not holds:
        raise BrokenLaw(f"expected {expected}; {arrived}. {remedy}")


def check_laws(
    laws: Sequence[Callable[[Subject], None]], subject: Subject, who: str, error: type[AntiphonError], seeded_by: str
) -> None:
    """Test whether an agent or oracle keeps its contract, and draws from no global random stream.

    laws: functions of `subject` that test one rule each. who: the name of the agent or oracle, for the message.
    seeded_by: the argument that its seed is passed as, for the message.
    Raises an exception of the class `error` for the first broken rule.
    """
    before = _streams()
    try:
        for law in laws:
            law(subject)
        remedy = f"Draw from a torch.Generator of its own, seeded by {seeded_by}."
        demand(_streams() == before, "the global random streams untouched", "it drew from one", remedy)
    except AntiphonError:
        raise
    except BrokenLaw as broken:
        raise error(f"{who} breaks its contract: {broken}") from None
    except FOREIGN as raised:
        raise error(
            f"{who} breaks its contract: expected it to play; {type(raised).__name__} was raised: {unstopped(raised)}. "
            "Correct it, or its arguments."
        ) from raised


def demand_methods(subject: object, *methods: str) -> None:
    """Raise BrokenLaw if `subject` lacks one of the given methods. The message names all missing methods."""
    missing = [method for method in methods if not callable(getattr(subject, method, None))]
    demand(not missing, f"the methods {', '.join(methods)}", f"{', '.join(missing)} missing", "Write what is missing.")


def demand_saved(state: Any) -> None:  # Any: a state that may break its contract
    """Raise BrokenLaw if `state` has a value that a checkpoint cannot save."""
    try:
        split_state("it", state)
    except ExperimentError as error:
        arrived, _, remedy = str(error).partition(". ")
        demand(False, "a state that can be saved", arrived, remedy)


def spoil(values: Any) -> None:  # Any: a state has leaves of several types
    """Overwrite all tensors in `values` in place, at any depth, to test that an agent or oracle does not keep them."""
    with torch.no_grad():
        map_tensors(values, lambda value: value.fill_(1 if value.dtype == torch.bool else 77))


def _streams() -> tuple[bytes, object, str]:
    """Return the states of the global random streams of torch, Python and numpy."""
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), repr(np.random.get_state())
