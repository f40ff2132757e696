"""A small grammar and an agent for tests, whose parts can draw numbers from a global random stream. Workers can import
them.

The stream of each part is an argument: "torch", "numpy", "python", or "none", which draws nothing.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from antiphon.agents.specification import AgentSpecification
from antiphon.envs import dataset
from antiphon.grammars.chain_rule import Upstream, chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.objective import minimise
from antiphon.grammars.types import Batch, EdgeType
from antiphon.grammars.writing import Message
from antiphon.oracles import black_box

STREAMS: Mapping[str, Callable[[], float]] = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: float(np.random.rand()),
    "python": random.random,
    "none": lambda: 0.0,
}
IN_A_GRAMMAR = ("data", "item", "module", "forward", "backward", "operator", "oracle", "loss", "map")
IN_AN_AGENT = ("agent", "hear", "move")


def drawn(stream: str) -> float:
    """Draw the next number of a global random stream: "torch", "numpy", "python", or "none"."""
    return STREAMS[stream]()


class Items(Dataset[tuple[Tensor, Tensor]]):
    """A data set of sixteen items. It draws a number when it is made, and for each item."""

    def __init__(self, data: str, item: str) -> None:
        self.shift, self.item = drawn(data), item

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.full((3,), index / 16 + self.shift + drawn(self.item)), torch.full((2,), float(index % 3))


class Erratic(torch.autograd.Function):
    """The identity function, whose gradient is multiplied by 1 plus a drawn number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, stream: str) -> Tensor:  # Any: torch's own
        """Return a view of the value, unchanged."""
        ctx.stream = stream
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Multiply the gradient by 1 plus a drawn number."""
        return cotangent * (1 + drawn(ctx.stream)), None


class Layer(nn.Linear):
    """A linear layer that draws a number when it is made, in its forward pass and in its backward pass."""

    def __init__(self, inputs: int, outputs: int, module: str, forward: str, backward: str) -> None:
        super().__init__(inputs, outputs)
        self.shift, self.streams = drawn(module), (forward, backward)

    def forward(self, input: Tensor) -> Tensor:
        """Map (batch, inputs) to (batch, outputs)."""
        return Erratic.apply(super().forward(input + self.shift + drawn(self.streams[0])), self.streams[1])


def shifted(value: Tensor, stream: str) -> Tensor:
    """Add a number, drawn from the stream, to the value.

    Tests use it as an operator, an oracle and a function of messages.
    """
    return value + drawn(stream)


class Shifted:
    """A function for an oracle: it adds a number, drawn from a fixed stream, to the value."""

    def __init__(self, stream: str) -> None:
        self.stream = stream

    def __call__(self, value: Tensor) -> Tensor:
        """Add a drawn number to the value."""
        return shifted(value, self.stream)


def gap(value: Tensor, other: Tensor, target: Tensor, stream: str) -> Tensor:
    """Return a loss: the mean squared error, multiplied by 1 plus a drawn number."""
    return (value + other - target).square().sum(1).mean() * (1 + drawn(stream))


def erratic(**streams: str) -> Grammar:
    """Make a grammar of two players, a data set, an operator, an oracle, a loss and a function of messages.

    streams: for each name in `IN_A_GRAMMAR`, the random stream that this part draws from; default "none".
    """
    at = dict.fromkeys(IN_A_GRAMMAR, "none") | streams
    q = QueryDraft()
    x, y = q.oracle("Nature", dataset(Items, at["data"], at["item"], batch=4))()
    first = q.player("First", Layer, 3, 2, at["module"], at["forward"], at["backward"])(x)
    moved = q.operator("Shift", shifted, at["operator"])(first)
    kind = EdgeType((Batch(), 2))
    other = q.oracle("Box", black_box(Shifted(at["oracle"]), (kind,), (kind,), sizes={"batch": 4}))(y)
    second = q.player("Second", nn.Linear, 2, 2)(moved)
    objective = minimise(q.loss("Loss", gap, at["loss"])(second, other, y))

    def edit(upstream: Upstream) -> Message:
        if not upstream.enters("Shift"):
            return upstream.message
        return upstream.response.map(shifted, upstream.message, stream=at["map"])

    return Grammar("erratic", q.graph(), chain_rule(q, objective, edit=edit), objective, exact())


class Wanderer:
    """An agent for tests that draws a number when it is made, in `hear` and in `move`."""

    def __init__(self, parameters: Sequence[Tensor], agent: str, hear: str, move: str) -> None:
        self.parameters, self.streams = list(parameters), (hear, move)
        self.step, self.heard = 0.01 * (1 + drawn(agent)), [torch.zeros_like(each) for each in parameters]

    def hear(self, response: Sequence[Tensor]) -> None:
        """Add the response, multiplied by 1 plus a drawn number, to the sum of responses."""
        factor = 1 + drawn(self.streams[0])
        self.heard = [mine + factor * new for mine, new in zip(self.heard, response, strict=True)]

    def move(self) -> Sequence[Tensor]:
        """Move against the sum of the responses, by a step that is multiplied by 1 plus a drawn number."""
        step = self.step * (1 + drawn(self.streams[1]))
        self.parameters = [mine - step * new for mine, new in zip(self.parameters, self.heard, strict=True)]
        self.heard = [torch.zeros_like(each) for each in self.heard]
        return [each.clone() for each in self.parameters]

    def state(self) -> dict[str, Any]:
        """Return the step size. The sum of responses is 0 after a move."""
        return {"step": self.step}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = state["step"]


def wanderer(**streams: str) -> AgentSpecification:
    """Return the specification of the agent `Wanderer`.

    streams: for each name in `IN_AN_AGENT`, the random stream that this part draws from; default "none".
    """
    at = dict.fromkeys(IN_AN_AGENT, "none") | streams
    return AgentSpecification.of(agent=f"{__name__}:{Wanderer.__name__}", arguments=at)
