"""Code of others that a round runs: whatever it raises is told with worker, round and step, but Ctrl-C stays Ctrl-C."""

import pytest
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.errors import RoundError
from antiphon.grammars.factory import Factory
from antiphon.grammars.library import backprop
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
