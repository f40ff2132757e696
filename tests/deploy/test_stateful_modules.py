"""Whatever a module keeps between rounds is saved, told and copied: 2k rounds are k, a checkpoint, and k more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from antiphon.agents import AgentSpecification
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.deploy.executor import RayExecutor
from antiphon.envs import arrays
from antiphon.errors import ExperimentError, GrammarError, PlacementError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.module_state import module_state
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.query import Kind
from antiphon.grammars.states import same_states
from antiphon.recipes.common.recipe import trained
from tests.deploy.stateful import MODULES, Base, replaced

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")
ROUNDS = 3
ADAM = AgentSpecification.of("Adam", {"lr": 0.05})


def nature() -> OracleDeclaration:
    generator = torch.Generator().manual_seed(0)
    return arrays(*(torch.randn(12, n, generator=generator) for n in (4, 3)), batch=6)


def game_without_clones(make: Callable[[], nn.Module]) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", nature())()
    objective = minimise(q.loss("Loss", mse_loss)(q.player(make.__name__, make)(x), y))
    return Grammar("stateful", q.graph(), chain_rule(q, objective), objective, exact())


def game(*makes: Callable[[], nn.Module]) -> Grammar:
    """Each module learns from y and from a clone that follows it slowly; all share x."""
    q = QueryDraft()
    x, y = q.oracle("Nature", nature())()
    losses = []
    for make in makes:
        name = make.__name__
        player = q.player(name, make)
        old = q.clone(f"{name}~", player, soft=0.5)(x)
        played = player(x)
        losses += [q.loss(f"{name} y", mse_loss)(played, y), q.loss(f"{name} old", mse_loss)(played, old)]
    objective = minimise(*losses)
    return Grammar("stateful", q.graph(), chain_rule(q, objective), objective, exact())


def assignment(grammar: Grammar, apart: bool = False) -> Assignment:
    """Everybody together; or the players, their agents and all others on a worker each."""
    players = [player.name for player in grammar.query.players]
    others = [node.name for node in grammar.query.nodes if node.kind is Kind.LOSS]
    far = spread(grammar, fuse=[players, ["Nature", *others]], agents=dict.fromkeys(players, "far"))
    return assign(grammar, ADAM, placement=far if apart else None, seed=1)


def assert_same(one: Any, other: Any) -> None:
    for name in one.keys() | other.keys():
        for table in one[name].keys() | other[name].keys():
            assert same_states(one[name][table], other[name][table]), (name, table)


@pytest.mark.parametrize("name", MODULES)
def test_rounds_go_on_from_disk_as_if_they_had_never_stopped(name: str, tmp_path: Path) -> None:
    made = assignment(game(MODULES[name]))
    with InlineExecutor(made) as whole, InlineExecutor(made) as half:
        told = whole.play(2 * ROUNDS).losses
        half.play(ROUNDS)
        at_half = half.states()
        half.save(tmp_path)
        half.play(ROUNDS)  # saving and telling leave the run as it was
        assert_same(half.states(), whole.states())
        manifest = read_manifest(tmp_path)
        assert_same(load_states(tmp_path, manifest.names), at_half)
        judged = module_state(trained(made.grammar, name, at_half))
        assert same_states(judged, {table: at_half[name][table] for table in judged})
        for fresh in (InlineExecutor(made), half):  # back in time too
            fresh.load(load_states(tmp_path, manifest.names), manifest.round)
            assert_same(fresh.states(), at_half)
            played = fresh.play(ROUNDS).losses
            assert_same(fresh.states(), whole.states())
            assert all(played[loss].values == told[loss].values[ROUNDS:] for loss in told)


@pytest.mark.parametrize("name", MODULES)
def test_replicas_are_one_player_or_refused_by_name(name: str) -> None:
    grammar = game_without_clones(MODULES[name])
    placement = replace(spread(grammar), replicas=((name, 2),))
    if name in ("NotPersistent", "Assigned", "Lazy", "Extra", "Tied"):  # they take in what is in the batch
        with pytest.raises(PlacementError, match=f"'{name}' has 2 replicas and couples the examples"):
            assign(grammar, ADAM, placement=placement)
        return
    apart = assign(grammar, ADAM, placement=placement)
    with InlineExecutor(apart) as one, InlineExecutor(apart) as two, InlineExecutor(assign(grammar, ADAM)) as whole:
        one.play(ROUNDS)
        two.load(one.states(), ROUNDS)
        one.play(ROUNDS)
        two.play(ROUNDS)
        whole.play(2 * ROUNDS)
        assert_same(one.states(), two.states())
        for key, value in whole.states()[name]["parameters"].items():
            torch.testing.assert_close(one.states()[name]["parameters"][key], value, rtol=1e-4, atol=1e-5)


def test_on_ray_they_play_save_and_go_on_with_the_same_numbers(pool, tmp_path: Path) -> None:
    grammar = game(*(MODULES[name] for name in ("NotPersistent", "Assigned", "Lazy", "Extra", "Complex", "Sparse")))
    with InlineExecutor(assignment(grammar)) as alone:
        alone.play(2 * ROUNDS)
        expected = alone.states()
    apart = assignment(grammar, apart=True)
    with RayExecutor(apart, "stateful", pool=pool) as one:
        one.play(ROUNDS)
        one.save(tmp_path)
    with RayExecutor(apart, "stateful again", pool=pool) as two:
        manifest = read_manifest(tmp_path)
        two.load(load_states(tmp_path, manifest.names), manifest.round)
        two.play(ROUNDS)
        found = two.states()
    for name, state in expected.items():
        for table in state.keys() - {"agent"}:  # that of an agent that lives elsewhere is elsewhere
            assert same_states(found[name][table], state[table]), (name, table)


class Unsaved(Base):
    """What it tells is not what a checkpoint holds."""

    def get_extra_state(self) -> Any:
        return {"inside": [object()]}

    def set_extra_state(self, state: Any) -> None: ...


def test_extra_state_that_would_not_come_back_is_refused_at_save_by_name(tmp_path: Path) -> None:
    with InlineExecutor(assignment(game(Unsaved))) as executor:
        executor.play(1)
        with pytest.raises(ExperimentError) as caught:
            executor.save(tmp_path)
    text = str(caught.value)
    assert "'Unsaved'" in text and "inside/0" in text and "builtins.object" in text and "Convert it" in text
    assert not list(tmp_path.iterdir())


class Raising(Base):
    """Its own code fails where its state is told, or taken back."""

    def get_extra_state(self) -> Any:
        return {"found": self.found} if hasattr(self, "found") else {}

    def set_extra_state(self, state: Any) -> None:
        self.found = state["lost"]


def test_a_module_that_fails_over_its_state_is_named() -> None:
    with (
        InlineExecutor(assign(game_without_clones(Raising), ADAM)) as executor,
        pytest.raises(GrammarError) as caught,
    ):
        executor.load(executor.states(), 0)
    text = str(caught.value)
    assert "'Raising'" in text and "KeyError" in text and "load_state_dict" in text


SHARED = nn.Linear(4, 3)


def shared() -> nn.Module:
    return SHARED


def test_a_clone_of_a_module_that_is_not_made_anew_is_refused_by_name() -> None:
    with pytest.raises(GrammarError) as caught:
        InlineExecutor(assignment(game(shared)))
    text = str(caught.value)
    assert "'shared'" in text and "shares parameters" in text and "inside the factory" in text


def test_two_players_with_the_same_tensors_are_refused_by_name() -> None:
    q = QueryDraft()
    x, y = q.oracle("Nature", nature())()
    one, two = q.player("One", shared)(x), q.player("Two", shared)(x)
    objective = minimise(q.loss("Loss", mse_loss)(one, y), q.loss("Other", mse_loss)(two, y))
    grammar = Grammar("shared", q.graph(), chain_rule(q, objective), objective, exact())
    with pytest.raises(GrammarError) as caught:
        InlineExecutor(assign(grammar, ADAM))
    text = str(caught.value)
    assert "'One'" in text and "'Two'" in text and "expected each to have its own" in text and "ask it twice" in text


def test_a_clone_has_hooks_and_methods_of_its_own() -> None:
    """A deep copy would call the player's weights in what was replaced."""
    with InlineExecutor(assignment(game(replaced))) as executor:
        executor.play(ROUNDS)
        (stage,) = executor._hosted.values()
        player, clone = stage.players["replaced"].module, stage.clones["replaced~"].module
        x = torch.randn(5, 4)
        assert not torch.equal(player(x), clone(x))
        assert torch.equal(clone(x), nn.functional.linear(x, *clone.parameters()).relu())
