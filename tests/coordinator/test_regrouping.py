"""The game is scale-free: network, layer and unit players hear the same gradients of the same numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import Tensor, nn

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.regrouping import carried, check_regrouping
from antiphon.errors import GrammarError
from antiphon.grammars.brick import brick
from antiphon.grammars.chain_rule import chain_rule, negate_into
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop, dac
from antiphon.grammars.maps import negate
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.random_grammars import Samples, batch_of, mean_gap, mean_softplus, sample_grammar, samples
from antiphon.grammars.regrouping import Regrouping, coarsen, refine, units
from antiphon.grammars.response import Map, Product, ResponseGraph
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import EdgeType

BOUND = 1e-10
WIDTH = st.integers(1, 4)
BENDS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus)


class Layer(nn.Sequential):
    """Linear, then a function."""

    def __init__(self, inputs: int, outputs: int, bend: type[nn.Module] = nn.Tanh, bias: bool = True) -> None:
        super().__init__(nn.Linear(inputs, outputs, bias, dtype=torch.float64), bend())


class Network(nn.Sequential):
    """Layers of these widths."""

    def __init__(self, widths: Sequence[int], bends: Sequence[type[nn.Module]], bias: bool = True) -> None:
        super().__init__(*map(lambda a, b, bend: Layer(a, b, bend, bias), widths, widths[1:], bends))


class Filter(nn.Sequential):
    """A convolution that keeps the size, rectified."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, padding=1, dtype=torch.float64), nn.ReLU())


def layers_of(grammar: Grammar, network: str) -> list[str]:
    return list(grammar.query.players_in(network))


@given(st.lists(WIDTH, min_size=2, max_size=4), st.data(), st.booleans())
@settings(max_examples=25)
def test_a_feedforward_network_at_three_scales(widths, data, bias):
    bends = [data.draw(st.sampled_from(BENDS)) for _ in widths[1:]]
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(5, (widths[0],), (widths[-1],)))()
    objective = minimise(q.loss("Loss", mean_gap)(q.player("Net", Network, widths, bends, bias)(x), y))
    network = Grammar("network", q.graph(), chain_rule(q, objective), objective)

    layers = refine(network, "Net")
    assert check_regrouping(layers) <= BOUND
    names = layers_of(layers.grammar, "Net")
    rows = refine(layers, *names, into=units)
    assert check_regrouping(rows) <= BOUND
    deep = refine(refine(layers, *names), *(f"{name}.0" for name in names), into=units)
    assert check_regrouping(deep) <= BOUND
    assert check_regrouping(rows.back) <= BOUND
    assert len(rows.grammar.query.players) == sum(widths[1:])


@given(st.integers(0, 10_000))
@settings(max_examples=12)
def test_random_games_with_skips_and_shared_players(seed):
    grammar = sample_grammar(seed)
    # The mean of what a layer norm plays is no function of anything: all that is heard behind one may be rounding.
    assume(not any(player.name.startswith("Norm") for player in grammar.query.players))
    names = [each.name for each in grammar.query.players if each.name.startswith(("Dense", "Soft", "Filter"))]
    layers = refine(grammar, *names)
    assert check_regrouping(layers) <= BOUND
    flat = [f"{name}.0" for name in names if not name.startswith("Filter")]
    assert check_regrouping(refine(layers, *flat, into=units)) <= BOUND
    first, *rest = [player.name for player in layers.grammar.query.players]
    for other in rest[:2]:
        try:
            coarse = coarsen(layers, [first, other], "Both")
        except GrammarError:
            continue  # why it may be refused is the matter of other tests
        assert check_regrouping(coarse) <= BOUND


def convolutional() -> Grammar:
    layers = {
        "Filter1": Factory.of(Filter, 2, 3),
        "Filter2": Factory.of(Filter, 3, 3),
        "Pool": Factory.of(nn.MaxPool2d, 2),
        "Flatten": Factory.of(nn.Flatten),
        "Dense": Factory.of(Layer, 27, 5),
        "Output": Factory.of(nn.Linear, 5, 3, dtype=torch.float64),
    }
    nature = samples(4, (2, 6, 6), (3,))
    return backprop(nature, layers, loss=Factory.of(mean_gap), skips={"Filter2": "Filter1"})


def test_convolutions_pools_and_skips():
    layers = convolutional()
    network = coarsen(layers, ["Filter1", "Filter2", "Dense", "Output"], "Net")
    assert [node.name for node in network.grammar.query.nodes] == ["Nature.sample", "Net", "Loss"]
    assert check_regrouping(network) <= BOUND
    again = refine(network.grammar, "Net")
    assert len(again.grammar.query.players) == 4
    assert check_regrouping(again) <= BOUND
    rows = refine(refine(layers, "Filter1", "Filter2"), "Dense", "Output", into=units)
    assert len(rows.grammar.query.players) == 2 + 5 + 3
    assert check_regrouping(rows) <= BOUND


def gan() -> Grammar:
    """Curator is asked of data and of what Forger made; Forger hears minus what Curator tells."""
    q = QueryDraft()
    x, noise = q.oracle("Nature", samples(6, (3,), (2,)))()
    curator = q.player("Curator", Network, (3, 4, 1), (nn.ReLU, nn.Sigmoid))
    forger = q.player("Forger", Network, (2, 4, 3), (nn.ReLU, nn.Tanh))
    objective = minimise(q.loss("Loss", mean_gap)(curator(x), curator(forger(noise))))
    return Grammar("gan", q.graph(), chain_rule(q, objective, edit=negate_into("Forger")), objective)


def minus_signs(grammar: Grammar) -> list[str]:
    return [node.name for node in grammar.response.nodes if isinstance(node, Map) and node.operation.target is negate]


def test_a_game_with_a_minus_sign_at_every_scale():
    game = gan()
    found = Regrouping.none(game)
    for player in ("Forger", "Curator"):
        found = refine(found, player)
        assert check_regrouping(found) <= BOUND
    for player in ("Forger.0", "Forger.1", "Curator.0", "Curator.1"):
        found = refine(found, player, into=units)
        assert check_regrouping(found) <= BOUND
        assert minus_signs(found.grammar) == minus_signs(game) == ["minus, into Forger"]
    for player in ("Curator.0", "Forger.1", "Curator.1", "Forger.0", "Forger", "Curator"):
        found = coarsen(found, player, player)
        assert check_regrouping(found) <= BOUND
    assert found.grammar == game


@final
class World(Memoryless):
    """Remembers nothing: what it replays is drawn anew."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        """Normal draws; a step is heard and forgotten."""
        generator = torch.Generator().manual_seed(at_round(self._seed, round))
        shapes = {"observe": [(2, 3)], "step": [], "replay": [(6, 3), (6, 2), (6,), (6, 3), (6,)]}[question]
        return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


class OfBoth(nn.Module):
    """A function of state and action."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.layers = Network((5, 4, out), (nn.Tanh, nn.Identity))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """(batch, 3), (batch, 2) -> (batch, out)."""
        return self.layers(torch.cat([state, action], 1))


def actor_critic(actor) -> Grammar:
    state, action, number = (batch_of(*shape) for shape in ((3,), (2,), ()))
    seen, done = EdgeType((2, 3), torch.float64), EdgeType((2, 2), torch.float64)
    questions = (
        Question("observe", (), (seen,)),
        Question("step", (done,), ()),
        Question("replay", (), (state, action, number, state, number)),
    )
    world = OracleDeclaration(Factory.of(World), questions, (("batch", 6),))
    wind = OracleDeclaration(Factory.of(Samples, (2, 2)), (Question("draw", (), (done,)),))
    return dac(world, wind, actor, Factory.of(OfBoth, 1), Factory.of(OfBoth, 2))


NET = Factory.of(Network, (3, 4, 2), (nn.ReLU, nn.Tanh))
LAYERS = {"0": Factory.of(Layer, 3, 4, nn.ReLU), "1": Factory.of(Layer, 4, 2, nn.Tanh)}


def test_an_actor_that_is_a_brick_hears_what_an_actor_that_is_a_module_hears():
    module, several = actor_critic(NET), actor_critic(brick(LAYERS))
    assert [player.name for player in several.query.players] == ["Actor.0", "Actor.1", "Critic", "Deviator"]
    refined = refine(module, "Actor")
    assert [repr(node) for node in several.response.nodes] == [repr(node) for node in refined.grammar.response.nodes]
    assert check_regrouping(Regrouping(module, several, refined.spans)) <= BOUND
    whole = coarsen(several, "Actor", "Actor")
    assert [clone.name for clone in whole.grammar.query.clones] == ["Actor~", "Critic~"]
    assert check_regrouping(whole) <= BOUND


def test_every_scale_of_an_actor():
    found = refine(refine(actor_critic(NET), "Actor"), "Actor.0", "Actor.1", into=units)
    assert len(found.grammar.query.players_in("Actor")) == 6
    assert check_regrouping(found) <= BOUND
    taps = [node for node in found.grammar.response.nodes if node.name == "tap Deviator"]
    assert len(taps) == 1


def with_wrong_product(regrouping: Regrouping) -> Regrouping:
    """Layer 0 hears minus what it should."""
    nodes = []
    for node in regrouping.grammar.response.nodes:
        if isinstance(node, Product) and node.of == "Net.0":
            (told,) = node.inputs
            nodes.append(Map("wrong", Factory.of(negate), (told,)))
            node = replace(node, cotangents=(Port("wrong"),))
        nodes.append(node)
    return replace(regrouping, grammar=replace(regrouping.grammar, response=ResponseGraph(tuple(nodes))))


def small() -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", samples(4, (3,), (2,)))()
    objective = minimise(q.loss("Loss", mean_gap)(q.player("Net", NET)(x), y))
    return Grammar("small", q.graph(), chain_rule(q, objective), objective)


def test_another_gradient_is_found(refusal):
    assert refusal(GrammarError, lambda: check_regrouping(with_wrong_product(refine(small(), "Net")))) == (
        "player 'Net.0' of regrouped grammar 'small' received in round 0 a response that differs by 6.4e-01 "
        "of the largest number in the original one; expected at most 1e-10. "
        "Compare its part of both Response graphs; in float32, allow for its rounding."
    )


def resting() -> Grammar:
    """Nobody learns before round 100."""
    q = QueryDraft()
    with q.query_pass("learn", start=100):
        objective = minimise(q.loss("Loss", mean_softplus)(q.player("Net", NET)(q.oracle("N", samples(4, (3,)))())))
    return Grammar("resting", q.graph(), chain_rule(q, objective), objective)


def test_a_check_in_which_nobody_hears_anything_is_refused(refusal):
    assert refusal(GrammarError, lambda: check_regrouping(refine(resting(), "Net"))) == (
        "no player of grammar 'resting' received a response within 2 rounds; expected responses to compare. "
        "Play more rounds, or let learning start earlier."
    )


def play(grammar: Grammar, rounds: int, states=None) -> tuple[list[float], dict]:
    agents = AgentSpecification.of("SGD", {"lr": 0.05})
    with InlineExecutor(assign(grammar, agents, seed=3)) as executor:
        if states is not None:
            executor.load(states(executor.states()), round=0)
        return executor.play(rounds).losses["Loss"].values, dict(executor.states())


def test_a_refined_game_begins_as_the_whole_would_have_and_goes_on_alike():
    game = small()
    fine = refine(refine(game, "Net"), "Net.0", "Net.1", into=units)
    alone, _ = play(game, 20)
    together, _ = play(fine.grammar, 20)
    assert together == pytest.approx(alone, rel=1e-12)


def test_a_run_goes_on_with_other_players():
    game = small()
    coarse = coarsen(refine(game, "Net").grammar, "Net", "Whole")
    _, learned = play(refine(game, "Net").grammar, 10)
    went_on, _ = play(coarse.grammar, 5, lambda fresh: carried(coarse, learned, fresh))
    stayed, _ = play(
        refine(game, "Net").grammar,
        5,
        lambda fresh: carried(Regrouping.none(refine(game, "Net").grammar), learned, fresh),
    )
    assert went_on == pytest.approx(stayed, rel=1e-12)
    assert any(node.kind is Kind.PLAYER and node.owner == "Whole" for node in coarse.grammar.query.nodes)
