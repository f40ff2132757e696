"""The conformance suite refuses each way of breaking the contract, and says which."""

import itertools
from typing import Any

import pytest
import torch

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box, OracleDeclaration, Question
from antiphon.grammars.types import Batch, EdgeType
from antiphon.testing import check_oracle

POINTS = EdgeType((Batch(), 2))
MADE = itertools.count(1)


class Walk:
    """Adds what it is told to where it is, and draws a little; `fault` breaks one law."""

    def __init__(self, fault: str = "", *, seed: int) -> None:
        self.fault, self.seed = fault, next(MADE) if fault == "unseeded" else 0
        self.here, self.told = torch.zeros(4, 2), torch.zeros(4, 2)

    def answer(self, question: str, inputs: Any, round: int) -> Any:
        if self.fault == "types" and round == 4:
            return (torch.zeros(4, 3),)
        if self.fault == "crash":
            raise ZeroDivisionError("division by zero")
        if self.fault == "streams":
            torch.rand(1)
        if self.fault == "keeps input":
            self.here, self.told = self.here + self.told, inputs[0]
            return (self.here.clone(),)
        generator = torch.Generator().manual_seed(self.seed + round)
        if self.fault == "unsaved":
            self.told += 1
        self.here = self.here + inputs[0].detach() + torch.rand(4, 2, generator=generator) + self.told
        if self.fault == "graph":
            return (self.here + inputs[0],)
        return (self.here if self.fault == "aliased" else self.here.clone(),)

    def state(self) -> Any:
        if self.fault == "foreign":
            return {"here": self.here.numpy()}
        return {"here": self.here if self.fault == "lends state" else self.here.clone()}

    def load(self, state: Any) -> None:
        self.here = state["here"] if self.fault == "borrows state" else state["here"].clone()

    def report(self) -> Any:
        return {"where": "here"} if self.fault == "report" else {}

    def close(self) -> None: ...


class Borrowing(Walk):
    """Writes into what it was lent, which a copy would have spared."""

    def answer(self, question: str, inputs: Any, round: int) -> Any:
        self.here += inputs[0].detach()
        return (self.here.clone(),)


def declare(fault: str, box: Box = Box.BLACK, target: type = Walk) -> OracleDeclaration:
    return OracleDeclaration(Factory.of(target, fault), (Question("go", (POINTS,), (POINTS,), box),), (("batch", 4),))


@pytest.mark.parametrize("target", [Walk, Borrowing])
def test_a_good_oracle_passes(target):
    check_oracle(declare("", target=target))


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ("unseeded", "expected equal seeds to bring equal answers; two equal plays differ."),
        ("graph", "expected a black box to answer values only; the answer to 'go' requires a gradient."),
        ("aliased", "expected answers to belong to the asker, and inputs to be nobody's memory after the round;"),
        ("keeps input", "expected answers to belong to the asker, and inputs to be nobody's memory after the round;"),
        (
            "foreign",
            "expected a state that can be saved; the state of 'it' cannot be saved: 'here' is a numpy.ndarray;",
        ),
        (
            "unsaved",
            "expected a loaded oracle to continue exactly; its answers differ from those of the oracle that was",
        ),
        ("report", "expected a report of numbers by name; {'where': 'here'}."),
        ("streams", "expected the global random streams untouched; it drew from one."),
    ],
)
def test_each_fault_is_named(fault, law):
    with pytest.raises(OracleError) as refused:
        check_oracle(declare(fault))
    assert f"Walk({fault!r}) breaks its contract: {law}" in str(refused.value)


@pytest.mark.parametrize("fault", ["lends state", "borrows state"])
def test_a_state_is_in_memory_of_its_own(fault):
    with pytest.raises(OracleError, match="expected a state in memory of its own"):
        check_oracle(declare(fault, target=Borrowing))


class Showing(Walk):
    """Shows where it is, then walks on; may answer both in the same memory, which it fills anew."""

    def answer(self, question: str, inputs: Any, round: int) -> Any:
        if question == "walk":
            self.here = self.here + inputs[0].detach()
        self.told.copy_(self.here)
        return (self.told if self.fault == "reused" else self.here.clone(),)


@pytest.mark.parametrize("fault", ["", "reused"])
def test_an_answer_stays_as_it_is_while_the_round_goes_on(fault):
    questions = Question("show", (), (POINTS,)), Question("walk", (POINTS,), (POINTS,))
    declaration = OracleDeclaration(Factory.of(Showing, fault), questions, (("batch", 4),))
    if not fault:
        check_oracle(declaration)
        return
    with pytest.raises(OracleError, match="expected an answer to stay as it is"):
        check_oracle(declaration)


def test_types_are_held_in_every_round():
    with pytest.raises(OracleError) as refused:
        check_oracle(declare("types"))
    assert "question 'go': expected the answer (float32[4, 2]), as declared; (float32[4, 3]) arrived." in str(
        refused.value
    )


def test_a_gray_box_must_be_differentiable():
    with pytest.raises(OracleError, match="expected a gray box to be differentiable"):
        check_oracle(declare("", box=Box.GRAY))


def test_an_oracle_whose_world_cannot_be_saved_says_so():
    with pytest.raises(OracleError, match="expected a loaded oracle to continue exactly"):
        check_oracle(declare("unsaved"))
    check_oracle(declare("unsaved"), continues=False)
