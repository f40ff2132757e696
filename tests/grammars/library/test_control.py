"""Weights, discounts, priorities and an Encoder in control grammars: who hears what, and that it is exact."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from antiphon.agents.specification import AgentSpecification
from antiphon.checks.check import check_grammar
from antiphon.checks.suites.regulators import TanhNetwork
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.grammars import Factory, Insulated, OracleDeclaration, Question, promised
from antiphon.grammars.guarantee import Estimated, Exact, Learned
from antiphon.grammars.library import critic_derivative, dac
from antiphon.grammars.oracle import Memoryless
from antiphon.grammars.query import Port
from antiphon.grammars.random_grammars import Samples, batch_of
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import EdgeType
from antiphon.transport.message import Phase

STATE, SEEN, ACTION = 3, 4, 2


class World(Memoryless):
    """Random transitions, discounts and weights. It keeps the errors that it was told."""

    told: ClassVar[list[torch.Tensor]] = []

    def __init__(self, *, seed):
        self.seed = seed

    def answer(self, question, inputs, round):
        if question == "prioritise":
            self.told.append(inputs[0].clone())
            return ()
        generator = torch.Generator().manual_seed(at_round(self.seed, round) + len(question))

        def draw(*shape):
            return torch.rand(shape, generator=generator, dtype=torch.float64)

        if question == "replay":
            return draw(8, STATE), draw(8, ACTION), draw(8), draw(8, STATE), draw(8).round()
        return {"observe": lambda: (draw(1, STATE),), "step": lambda: ()}.get(question, lambda: (draw(8),))()


def world():
    state, action, number = (batch_of(*shape) for shape in ((STATE,), (ACTION,), ()))
    kind = torch.float64
    questions = (
        Question("observe", (), (EdgeType((1, STATE), kind),)),
        Question("step", (EdgeType((1, ACTION), kind),), ()),
        Question("replay", (), (state, action, number, state, number)),
        Question("discount", (), (number,)),
        Question("weight", (), (number,)),
        Question("prioritise", (number,), ()),
    )
    return OracleDeclaration(Factory.of(World), questions, (("batch", 8),))


def made(grammar):
    noise = OracleDeclaration(
        Factory.of(Samples, (1, ACTION)), (Question("draw", (), (EdgeType((1, ACTION), torch.float64),)),)
    )
    actor, critic, deviator = (
        Factory.of(TanhNetwork, inputs, 5, outputs)
        for inputs, outputs in ((SEEN, ACTION), (SEEN + ACTION, 1), (SEEN + ACTION, ACTION))
    )
    players = (actor, critic, deviator) if grammar is dac else (actor, critic)
    return grammar(world(), noise, *players, gamma=0.7, encoder=Factory.of(TanhNetwork, STATE, 5, SEEN))


@pytest.mark.parametrize("grammar", [dac, critic_derivative])
def test_the_promises_are_kept_with_weights_discounts_and_an_encoder(grammar):
    whole = made(grammar)
    kept = tuple(each for each in whole.guarantee.promises if not isinstance(each, Estimated | Learned))
    report = check_grammar(replace(whole, guarantee=promised(*kept)), instances=2)
    assert not report.failed, report.text
    heard = {name for each in kept if isinstance(each, Exact) for name in each.players}
    assert heard == {player.name for player in whole.query.players}
    assert Insulated(("Encoder",), ("Actor",)) in kept


@pytest.mark.parametrize("grammar", [dac, critic_derivative])
def test_nature_is_told_the_errors_whose_weighted_mean_square_is_the_loss(grammar):
    World.told.clear()
    whole = made(grammar)
    seen = []

    def watch(round, held):
        seen.append(held[Slot(Phase.QUERY, Port("Nature.weight"))].clone())

    with InlineExecutor(assign(whole, AgentSpecification.of("SGD", {"lr": 0.1})), watch=watch) as play:
        for round in range(3):
            (loss,) = [play.play(1).losses[port.node] for port in whole.objective.losses]
            assert (seen[round] * World.told[round].square()).mean().item() == pytest.approx(loss.values[0])
