"""Small grammars for tests of executors, and schedules of pipelines that are written by hand.

Workers can import this module, so they find its classes by name.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import Move, Query, Respond, Share, Slot, Step, Transfer
from antiphon.envs import nature
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop, dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question, State
from antiphon.grammars.query import Port
from antiphon.grammars.response import PARAMETERS
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import Batch, EdgeType
from antiphon.grammars.when import ALWAYS
from antiphon.oracles import Annealing, gaussian
from antiphon.transport.message import Edge, Phase


class Points(Memoryless):
    """An oracle that draws random points and random labels in each round."""

    def __init__(self, shape: tuple[int, ...], classes: int, batch: int, seed: int) -> None:
        self._shape, self._classes, self._batch, self._seed = shape, classes, batch, seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, Tensor]:
        """Return points, (batch, *shape), and labels, (batch,)."""
        generator = torch.Generator().manual_seed(at_round(self._seed, round))
        x = torch.randn(self._batch, *self._shape, generator=generator)
        return x, torch.randint(self._classes, (self._batch,), generator=generator)


def points(*shape: int, classes: int = 3, batch: int = 7) -> OracleDeclaration:
    """Declare an oracle that draws random points and random labels in each round. shape: of one point."""
    types = EdgeType((Batch(), *shape)), EdgeType((Batch(),), torch.int64)
    factory = Factory.of(Points, shape, classes, batch)
    return OracleDeclaration(factory, (Question("sample", (), types),), (("batch", batch),))


class Dense(nn.Sequential):
    """A linear layer, a ReLU and dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))


class OddLayouts(nn.Module):
    """Ordinary layers whose gradients or parameters are not contiguous in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.einsum, self.batched = nn.Parameter(torch.randn(8, 12)), nn.Parameter(torch.randn(2, 4, 4))
        self.image = nn.Conv2d(2, 8, 2).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.columns, self.shift = nn.Parameter(torch.randn(8, 3).t()), nn.Parameter(torch.zeros(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, 12) to (batch, 3)."""
        played = torch.einsum("bi,oi->bo", x, self.einsum).view(-1, 2, 4)
        played = torch.bmm(self.batched, played.permute(1, 2, 0)).permute(2, 0, 1)
        image = played.reshape(-1, 2, 2, 2).permute(0, 3, 1, 2)
        return self.image(image).flatten(1) @ self.columns.t() + self.shift.sum()


class FailsLater(nn.Linear):
    """A linear layer that raises ZeroDivisionError in its fourth forward pass."""

    played = 0

    def forward(self, input: Tensor) -> Tensor:
        """Compute the linear layer; in the fourth call, raise ZeroDivisionError."""
        self.played += 1
        if self.played == 4:
            raise ZeroDivisionError("the fourth is too many")
        return super().forward(input)


class ExitsLater:
    """An agent that updates with the signs of the last response (gradient). In its third move, it raises SystemExit."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters, self.response, self.moves = parameters, parameters, 0

    def hear(self, response: Sequence[Tensor]) -> None:
        """Keep the last response."""
        self.response = response

    def move(self) -> Sequence[Tensor]:
        """Update the parameters in place; in the third call, raise SystemExit."""
        self.moves += 1
        if self.moves == 3:
            raise SystemExit("enough")
        for parameter, each in zip(self.parameters, self.response, strict=True):
            parameter.sub_(each.sign(), alpha=0.01)
        return self.parameters

    def state(self) -> State:
        """Return the number of moves so far."""
        return {"moves": self.moves}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self.moves = state["moves"]


def with_dropout() -> Grammar:
    """Make a network with odd widths, dropout, a skip connection, and an operator without parameters."""
    layers = {
        "First": Factory.of(Dense, 13, 17, 0.5),
        "Second": Factory.of(Dense, 17, 17, 0.3),
        "Norm": Factory.of(nn.LayerNorm, 17),
        "Drop": Factory.of(nn.Dropout, 0.2),
        "Last": Factory.of(nn.Linear, 17, 3),
    }
    return backprop(points(13), layers, skips={"Second": "First"})


def convolutional() -> Grammar:
    """Make a convolutional network for images. Max-pooling is an operator without parameters."""
    layers = {
        "Conv": Factory.of(nn.Conv2d, 1, 5, 3),
        "Pool": Factory.of(nn.MaxPool2d, 2),
        "Flat": Factory.of(nn.Flatten),
        "Last": Factory.of(nn.Linear, 45, 3),
    }
    return backprop(points(1, 9, 8), layers)


def odd_layouts() -> Grammar:
    """Make a grammar of two players whose gradients have several memory layouts."""
    layers = {"Odd": Factory.of(OddLayouts), "Last": Factory.of(nn.Linear, 3, 3)}
    return backprop(points(12), layers)


def wide() -> Grammar:
    """Make a network that is so slow that a test can kill a worker during a run."""
    layers = {name: Factory.of(Dense, 256, 256) for name in ("First", "Second")}
    return backprop(points(256, batch=64, classes=10), {**layers, "Last": Factory.of(nn.Linear, 256, 10)})


def small_dac() -> Grammar:
    """Make a small Deviator-Actor-Critic grammar with odd sizes.

    Actor acts every third round; players learn from round 30 on.
    """
    world = nature("Pendulum-v1", envs=3, batch=17, warmup=30)
    noise = gaussian((1,), batch=3, symbol="envs", scale=Annealing(0.5, 0.1, 50))
    actor, critic = Factory.of(Policy, 3, 1, (9, 7)), Factory.of(StateAction, 3, 1, 1, (11, 5))
    deviator = Factory.of(StateAction, 3, 1, 1, (8, 8))
    return dac(world, noise, actor, critic, deviator, act_every=3, learn_from=30)


def specifications(grammar: Grammar) -> dict[str, AgentSpecification]:
    """Return an agent for each player of a grammar, with different optimizers: Adam, SGD and RMSprop in turn."""
    kinds = [("Adam", {"lr": 1e-2}), ("SGD", {"lr": 0.05, "momentum": 0.9}), ("RMSprop", {"lr": 1e-3})]
    players = [player.name for player in grammar.query.players]
    return {name: AgentSpecification.of(*kinds[index % 3]) for index, name in enumerate(players)}


def failing() -> Grammar:
    """Make a grammar in which the player named Fails raises an exception in the fourth round."""
    return backprop(points(4), {"Fine": Factory.of(nn.Linear, 4, 4), "Fails": Factory.of(FailsLater, 4, 3)})


Turn: TypeAlias = tuple[str, int]
"""Query ("Q") or response ("R"), and the number of the micro-batch."""


def gpipe(stages: int, batches: int) -> list[list[Turn]]:
    """Return the turns of each stage of a pipeline in GPipe's order: all queries, then all responses (Huang et al.,
    2019).

    A turn is the query (forward pass) or the response (backward pass) of one micro-batch.
    """
    return [[("Q", b) for b in range(batches)] + [("R", b) for b in range(batches)] for _ in range(stages)]


def one_forward_one_backward(stages: int, batches: int) -> list[list[Turn]]:
    """Return the turns of each stage of a pipeline in the order 1F1B (Narayanan et al., 2019).

    A turn is the query (forward pass) or the response (backward pass) of one micro-batch. A stage begins with as many
    queries as there are stages after it, then plays a query and a response in turn.
    """
    found = []
    for stage in range(stages):
        ahead = min(stages - 1 - stage, batches)
        own: list[Turn] = [("Q", b) for b in range(ahead)]
        for b in range(batches - ahead):
            own += [("Q", ahead + b), ("R", b)]
        found.append(own + [("R", b) for b in range(batches - ahead, batches)])
    return found


def pipeline(orders: list[list[Turn]]) -> Schedule:
    """Return the schedule in which each stage plays its turns in the order of `orders`.

    The order of all turns is made by visiting the stages in a cycle: each stage plays until its next turn needs a turn
    of another stage.
    """
    stages, steps, done = len(orders), [], set()
    waiting = [list(own) for own in orders]
    numbers: dict[tuple[str, Share, int], int] = {}
    while any(waiting):
        for stage in range(stages):
            while waiting[stage] and _ready(waiting[stage][0], stage, stages, done):
                op, batch = waiting[stage].pop(0)
                steps += _steps(op, Share(batch, max(each for _, each in orders[0]) + 1), stage, stages, numbers)
                done.add((op, batch, stage))
    steps += [Move(f"S{stage}", worker=f"S{stage}", when=ALWAYS) for stage in range(stages)]
    return Schedule("0" * 64, tuple(f"S{stage}" for stage in range(stages)), tuple(steps))


def _ready(op: Turn, stage: int, stages: int, done: set) -> bool:
    kind, batch = op
    if kind == "Q":
        return stage == 0 or ("Q", batch, stage - 1) in done
    return ("Q", batch, stage) in done and (stage == stages - 1 or ("R", batch, stage + 1) in done)


def _steps(op: str, batch: Share, stage: int, stages: int, numbers: dict[tuple[str, Share, int], int]) -> list[Step]:
    phase = Phase.QUERY if op == "Q" else Phase.RESPONSE
    upstream = stage - 1 if op == "Q" else stage + 1
    found: list[Step] = []
    reads: tuple[Slot, ...] = ()
    if 0 <= upstream < stages:
        slot = Slot(phase, Port(_name(op, upstream)), microbatch=batch)
        number = numbers.setdefault((op, batch, stage), len(numbers))
        order = "zeroth" if op == "Q" else "first"
        edge = Edge(number, repr(slot), f"S{upstream}", f"S{stage}", phase, order, torch.float32, (4,))
        found.append(Transfer(edge, slot, ALWAYS))
        reads = (slot,)
    elif op == "R":
        reads = (Slot(Phase.RESPONSE, Port("seed"), microbatch=batch),)
        found.append(Respond("seed", worker=f"S{stage}", when=ALWAYS, writes=reads))
    writes = (Slot(phase, Port(_name(op, stage)), microbatch=batch),)
    if op == "Q":
        return [*found, Query(f"S{stage}", worker=f"S{stage}", when=ALWAYS, reads=reads, writes=writes)]
    own = Slot(phase, Port(_name(op, stage), PARAMETERS), microbatch=batch)
    return [*found, Respond(f"S{stage} *", worker=f"S{stage}", when=ALWAYS, reads=reads, writes=(*writes, own))]


def _name(op: str, stage: int) -> str:
    return f"S{stage}" if op == "Q" else f"S{stage} *"
