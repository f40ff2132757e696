"""Code of others that a round runs: whatever it raises is told with worker, round and step, but Ctrl-C stays Ctrl-C."""

import sys
from collections.abc import Callable
from typing import NoReturn

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.errors import AntiphonError, RoundError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
from antiphon.grammars.library.generative import Isotropic
from antiphon.grammars.library.supervised import supervised
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.regrouping import children, units
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.black_box import black_box
from antiphon.testing import check_agent
from rigs.games import points


class Gone(BaseException):
    """No Exception."""


RAISES: list[type[BaseException]] = []
"""Empty while a grammar is typed."""


class Leaves(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        if RAISES:
            raise RAISES[0]("enough")
        return super().forward(input)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, Gone, ZeroDivisionError, KeyboardInterrupt])
def test_what_an_operator_raises_is_told_with_worker_and_round(kind, monkeypatch):
    grammar = backprop(points(4), {"Leaves": Factory.of(Leaves, 4, 3)})
    with InlineExecutor(assign(grammar)) as run:
        run.play(2)
        monkeypatch.setattr(f"{__name__}.RAISES", [kind])
        with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else RoundError) as caught:
            run.play(1)
    if isinstance(caught.value, RoundError):
        assert caught.value.round == 2 and f"{kind.__name__}: enough" in str(caught.value)


def leave(*_: object, seed: int = 0) -> NoReturn:
    sys.exit("enough")


def fail(*_: object, seed: int = 0) -> NoReturn:
    raise ZeroDivisionError("enough")


def made(leave: Callable[..., NoReturn]) -> type[nn.Linear]:
    return type("Made", (nn.Linear,), {"__init__": leave})


def asked(leave: Callable[..., NoReturn]) -> type[nn.Linear]:
    return type("Asked", (nn.Linear,), {"forward": leave})


CALLED: dict[str, Callable[[Callable[..., NoReturn]], object]] = {
    "a player is made": lambda leave: backprop(points(4), {"Leaves": Factory.of(made(leave), 4, 3)}),
    "a player is asked": lambda leave: backprop(points(4), {"Leaves": Factory.of(asked(leave), 4, 3)}),
    "an operator is asked": lambda leave: backprop(
        points(4), {"L": Factory.of(nn.Linear, 4, 3), "O": Factory.of(leave)}
    ),
    "a loss is asked": lambda leave: supervised(points(4), Factory.of(nn.Linear, 4, 3), Factory.of(leave)),
    "children are made": lambda leave: children(Factory.of(made(leave), 4, 3)),
    "units are made": lambda leave: units(Factory.of(made(leave), 4, 3)),
    "a network is made": lambda leave: Isotropic(Factory.of(leave)),
    "an oracle is made": lambda leave: InlineExecutor(
        assign(backprop(OracleDeclaration(Factory.of(leave), points(4).questions, points(4).sizes), LAYERS))
    ),
    "a black box is asked": lambda leave: (
        black_box(leave, [EdgeType((Batch(),))], [EdgeType((Batch(),))]).make(0).answer("", [torch.ones(2)], 0)
    ),
    "an agent is checked": check_agent,
}
LAYERS = {"L": Factory.of(nn.Linear, 4, 3)}


@pytest.mark.parametrize("leave", [leave, fail], ids=["SystemExit", "ZeroDivisionError"])
@pytest.mark.parametrize("called", CALLED)
def test_code_of_others_that_fails_or_exits_while_a_game_is_made_is_told(called, leave):
    with pytest.raises(AntiphonError, match="enough") as caught:
        CALLED[called](leave)
    assert "xpected" in str(caught.value)
