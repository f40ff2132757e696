"""Rounds as they are played: cadences, clones, and errors that say where."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.steps import Query
from antiphon.errors import OracleError, ProtocolError, RoundError, ShapeError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.random_grammars import Samples, TanhLayer, mean_gap, samples
from antiphon.grammars.when import When
from rigs.games import failing, points, with_dropout

SGD = AgentSpecification.of("SGD", {"lr": 0.1, "momentum": 0.9})


def parameters(executor: InlineExecutor, name: str) -> Tensor:
    return torch.cat([each.flatten() for each in executor.states()[name]["parameters"].values()]).clone()


def two(*, soft: float | None = 0.25, follow: Cadence = Cadence(), learn: Cadence = Cadence()) -> Grammar:
    q = QueryDraft()
    a = q.player("A", TanhLayer, 3, 3)
    old = q.clone("A~", a, soft=soft, cadence=follow)
    nature = q.oracle("Nature", samples(4, (3,), (3,)))
    with q.query_pass("learn", every=learn.every, start=learn.start):
        x, y = nature()
        objective = minimise(q.loss("Loss", mean_gap)(q.player("B", TanhLayer, 3, 3)(a(x)), y))
        q.operator("watch", torch.neg)(old(x))
    return Grammar("two", q.graph(), chain_rule(q, objective), objective)


def changes(assignment: Assignment, name: str, rounds: int) -> list[int]:
    """The rounds after which someone's parameters are others than before."""
    found = []
    with InlineExecutor(assignment) as executor:
        for round in range(rounds):
            before = parameters(executor, name)
            executor.play(1)
            found += [] if parameters(executor, name).equal(before) else [round]
    return found


def test_a_player_moves_at_its_agents_cadence_alone():
    slow = replace(SGD, cadence=Cadence(3, 1))
    assignment = assign(two(), {"A": slow, "B": SGD})
    assert changes(assignment, "A", 8) == [1, 4, 7]
    assert changes(assignment, "B", 8) == list(range(8))


def test_a_response_off_its_cadence_is_discarded():
    """Plain descent every third round, from that round's response alone: rounds between leave nothing behind."""
    plain = AgentSpecification.of("SGD", {"lr": 0.1})
    grammar = two()
    still = AgentSpecification.of("SGD", {"lr": 0.0})
    with InlineExecutor(assign(grammar, {"A": replace(plain, cadence=Cadence(3, 2)), "B": still})) as slow:
        slow.play(3)
        with InlineExecutor(assign(grammar, {"A": plain, "B": still})) as once:
            once.load(once.states(), 2)
            once.play(1)
            assert parameters(slow, "A").equal(parameters(once, "A"))


def test_a_pass_plays_at_its_cadence_alone():
    assignment = assign(two(learn=Cadence(2, 3)), SGD)
    assert changes(assignment, "A", 8) == [3, 5, 7]
    with InlineExecutor(assignment) as executor:
        rounds, losses = executor.play(8).losses["Loss"]
    assert rounds == [3, 5, 7]
    assert len(set(losses)) == 3


def test_cadences_of_pass_and_player_meet():
    assert changes(assign(two(learn=Cadence(2)), {"A": replace(SGD, cadence=Cadence(3))}), "A", 13) == [0, 6, 12]


def test_a_soft_clone_goes_a_fraction_of_the_way_after_the_moves():
    with InlineExecutor(assign(two(soft=0.25), SGD)) as executor:
        for _ in range(3):
            before = parameters(executor, "A~")
            executor.play(1)
            expected = before.lerp(parameters(executor, "A"), 0.25)
            assert parameters(executor, "A~").equal(expected)


def test_a_hard_clone_copies_at_its_cadence():
    with InlineExecutor(assign(two(soft=None, follow=Cadence(3, 1)), SGD)) as executor:
        copies = []
        for _ in range(5):
            executor.play(1)
            copies.append(parameters(executor, "A~").equal(parameters(executor, "A")))
    assert copies == [False, True, False, False, True]


def test_a_clone_starts_as_its_player():
    with InlineExecutor(assign(two(), SGD)) as executor:
        assert parameters(executor, "A~").equal(parameters(executor, "A"))


@pytest.mark.parametrize("apart, worker", [(False, "inline"), (True, "Fails")])
def test_a_module_that_raises_tells_worker_round_and_step(apart, worker):
    grammar = failing()
    with InlineExecutor(assign(grammar, SGD, placement=spread(grammar) if apart else None)) as executor:
        executor.play(2)
        with pytest.raises(RoundError) as caught:
            executor.play(5)
    error = caught.value
    assert str(error) == (
        f"worker {worker!r} failed in round 3 at step «query    {worker}: Fails»: ZeroDivisionError: the fourth is too "
        "many. Expected it to play; see the traceback that this error carries."
    )
    assert (error.worker, error.round) == (worker, 3)
    assert 'raise ZeroDivisionError("the fourth is too many")' in error.traceback
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_a_response_without_a_query_in_its_round_is_refused():
    """The loss is asked in round 0, when nobody needs its response, and not in round 1: what it kept is gone."""
    assignment = assign(two(), replace(SGD, cadence=Cadence(1, 1)))
    steps = tuple(
        replace(step, when=When.at(Cadence(2))) if isinstance(step, Query) and step.node == "Loss" else step
        for step in assignment.schedule.steps
    )
    with InlineExecutor(replace(assignment, schedule=replace(assignment.schedule, steps=steps))) as executor:
        executor.play(1)
        with pytest.raises(ProtocolError) as caught:
            executor.play(1)
    assert str(caught.value) == (
        "loss 'Loss' was asked to respond without a query in this round; expected the query phase first. "
        "Order the schedule so that this node is queried before."
    )
    assert (caught.value.worker, caught.value.round) == ("inline", 1)


class Growing(nn.Linear):
    """Plays one row less from its third round on."""

    played = 0

    def forward(self, input: Tensor) -> Tensor:
        self.played += type(input) is Tensor
        return super().forward(input)[int(self.played > 2) :]


def test_a_module_that_changes_its_shape_is_refused():
    grammar = backprop(points(4), {"A": Factory.of(Growing, 4, 3)})
    with InlineExecutor(assign(grammar, SGD)) as executor, pytest.raises(ShapeError) as caught:
        executor.play(5)
    assert str(caught.value) == (
        "player 'A' played [((6, 3), torch.float32)]; expected [((7, 3), torch.float32)], as it was typed. "
        "Make its output shapes depend on its input shapes only."
    )
    assert (caught.value.worker, caught.value.round) == ("inline", 2)


def liar(*shapes: tuple[int, ...]) -> OracleDeclaration:
    """Declares (4, 3) and (4, 3), answers something else."""
    return replace(samples(4, (3,), (3,)), factory=Factory.of(Samples, *shapes))


def test_an_oracle_that_answers_something_else_is_refused():
    grammar = backprop(liar((4, 3), (4, 2)), {"A": Factory.of(TanhLayer, 3, 3)}, Factory.of(mean_gap))
    with InlineExecutor(assign(grammar, SGD)) as executor, pytest.raises(OracleError) as caught:
        executor.play(1)
    assert str(caught.value) == (
        "oracle 'Nature', question 'sample': expected the answer (float64[4, 3], float64[4, 3]), as declared; "
        "(float64[4, 3], float64[4, 2]) arrived. Make the oracle answer what its declaration says, or correct the "
        "declaration."
    )


def test_an_oracle_that_cannot_be_made_is_refused():
    grammar = backprop(
        replace(samples(4, (3,), (3,)), factory=Factory.of(dict, 1)),
        {"A": Factory.of(TanhLayer, 3, 3)},
        Factory.of(mean_gap),
    )
    with pytest.raises(OracleError) as caught:
        InlineExecutor(assign(grammar, SGD))
    assert str(caught.value) == (
        "oracle 'Nature' cannot be made from builtins:dict(1): TypeError: 'int' object is not iterable. "
        "Expected a factory that takes its arguments and a seed; correct them."
    )


def test_a_batch_is_told_with_its_losses_round_by_round():
    with InlineExecutor(assign(with_dropout(), SGD)) as executor:
        executor.play(3)
        played = executor.play(4)
    assert (played.round, played.rounds) == (7, 4)
    assert played.losses["Loss"][0] == [3, 4, 5, 6]
    assert set(played.seconds) == {"inline"}
