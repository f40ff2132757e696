"""A grammar in which one value becomes NaN or infinite in a chosen round, at a chosen place.

In that round, Nature's second answer is 1 instead of 0. It is an input of the nodes that then write the wrong number.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from antiphon.grammars import Grammar, QueryDraft, chain_rule, exact, minimise
from antiphon.grammars.chain_rule import Upstream
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import Batch, EdgeType
from antiphon.grammars.writing import Message
from rigs.agents import Momentum

PLACES = ("data", "query", "action", "reward", "loss", "response", "gradient")
BATCH, WIDTH = 5, 4


class Spoiled(Memoryless):
    """An oracle that draws points and pays a reward for an action. Its answer to `sample` or `pay` may go wrong."""

    def __init__(self, place: str, wrong: float, at: int, seed: int) -> None:
        self._place, self._wrong, self._at, self._seed = place, wrong, at, seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Return points and the mark, or the reward."""
        mark = torch.full((BATCH, 1), float(round == self._at))
        if question == "pay":
            reward = -inputs[0].square().sum(1, keepdim=True)
            return (spoiled(reward, mark, self._wrong, self._place == "reward"),)
        points = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(at_round(self._seed, round)))
        return spoiled(points, mark, self._wrong, self._place == "data"), mark


def spoiled(value: Tensor, mark: Tensor, wrong: float, here: bool) -> Tensor:
    """Return the value, and in the marked round, if `here`, with the number `wrong` in its second row."""
    rows = torch.zeros_like(mark)
    rows[1] = mark[1]
    return torch.where((rows * here > 0) & (torch.arange(value.shape[1]) == 0), wrong, value)


class Layer(nn.Linear):
    """A linear layer whose output, or whose gradient, may go wrong."""

    def __init__(self, outputs: int, wrong: float, output: bool, gradient: bool) -> None:
        super().__init__(WIDTH, outputs)
        self.wrong, self.places = wrong, (output, gradient)

    def forward(self, input: Tensor, mark: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the layer."""
        weight = _Spoil.apply(self.weight, mark, self.wrong) if self.places[1] else self.weight
        return spoiled(nn.functional.linear(input, weight, self.bias), mark, self.wrong, self.places[0])


class _Spoil(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value: Tensor, mark: Tensor, wrong: float) -> Tensor:
        ctx.mark, ctx.wrong = mark, wrong
        return value.clone()

    @staticmethod
    def backward(ctx, told: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        corner = torch.zeros_like(told, dtype=torch.bool)
        corner[0, 0] = ctx.mark[0, 0] > 0
        return torch.where(corner, ctx.wrong, told), None, None


def gap(played: Tensor, action: Tensor, reward: Tensor, mark: Tensor, wrong: float, here: bool) -> Tensor:
    """The loss: the mean squared distance of `played` to the reward, and the mean square of the action."""
    value = (played - reward).square().mean() + action.square().mean()
    return torch.where((mark[0, 0] > 0) & here, wrong, value)


def spoiling(message: Tensor, mark: Tensor, wrong: float) -> Tensor:
    """A user's function of a response, which may go wrong."""
    return spoiled(message, mark, wrong, True)


class Refusing(Layer):
    """A layer that raises ValueError when an input is NaN, as the code of a user may."""

    def forward(self, input: Tensor, mark: Tensor) -> Tensor:
        """Compute the layer, or raise."""
        if input.isnan().any():
            raise ValueError("no NaN, please")
        return super().forward(input, mark)


def grammar(place: str, wrong: float = torch.nan, at: int = 2, middle: type[Layer] = Layer) -> Grammar:
    """Make the grammar. place: where the number `wrong` appears in round `at`, one of PLACES; "" for nowhere.

    middle: class of the second layer.
    """
    q, batch = QueryDraft(), Batch()
    sample = Question("sample", (), (EdgeType((batch, WIDTH)), EdgeType((batch, 1))))
    pay = Question("pay", (EdgeType((batch, 2)),), (EdgeType((batch, 1)),))
    declaration = OracleDeclaration(Factory.of(Spoiled, place, wrong, at), (sample, pay), (("batch", BATCH),))
    nature = q.oracle("Nature", declaration)
    x, mark = nature.sample()
    hidden = q.player("First", nn.Linear, WIDTH, WIDTH)(x)
    twisted = q.player("Middle", middle, WIDTH, wrong, place == "query", place == "gradient")(hidden, mark)
    action = q.player("Actor", Layer, 2, wrong, place == "action", False)(twisted, mark)
    played = q.player("Last", nn.Linear, WIDTH, 1)(twisted)
    loss = q.loss("Loss", Factory.of(gap, wrong=wrong, here=place == "loss"))
    value = loss(played, action, nature.pay(action), mark)

    def edit(upstream: Upstream) -> Message | None:
        if upstream.enters("Nature"):
            return None  # a black box
        if place == "response" and upstream.enters("First"):
            return upstream.response.map(spoiling, upstream.message, upstream.response.tap(mark), wrong=wrong)
        return upstream.message

    return Grammar("wrong-numbers", q.graph(), chain_rule(q, minimise(value), edit=edit), minimise(value), exact())


class SpoiltMoves(Momentum):
    """A user's agent, whose third answer holds NaN."""

    moves = 0

    def move(self) -> Sequence[Tensor]:
        """Return the new parameters; in the third call, with NaN."""
        self.moves += 1
        return [each * torch.nan if self.moves == 3 else each for each in super().move()]
