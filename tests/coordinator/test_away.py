"""Everything of a worker lives on its device: grammars play on one that refuses to meet the CPU, and change no bit."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from antiphon.agents import AgentSpecification
from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.devices import CPU
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.plan.steps import Slot
from antiphon.errors import RoundError
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Factory, Grammar, QueryDraft, chain_rule, exact, minimise
from antiphon.grammars.chain_rule import Upstream
from antiphon.grammars.library import backprop
from antiphon.grammars.maps import fixed_matrix
from antiphon.grammars.writing import Message
from antiphon.pictures.gallery import library
from rigs.devices import AWAY, Away
from rigs.games import points, with_dropout

ROUNDS = 6
SOON = {"envs": 2, "batch": 8, "warmup": 4, "learn_from": 3, "act_every": 1, "widths": [9, 7]}
SGD = AgentSpecification.of("SGD", {"lr": 1e-2, "momentum": 0.5})
ADAM = AgentSpecification.of("Adam", {"fused": False}, clip_norm=1.0)  # fused kernels, the CPU's own, round otherwise
RMSPROP = AgentSpecification.of("RMSprop", {"momentum": 0.5}, scheduler="StepLR", scheduler_arguments={"step_size": 2})


def dac() -> Grammar:
    """It acts, remembers and learns within a few rounds; Actor has a clone."""
    return read_experiment("dac", {f"dac.{key}": value for key, value in SOON.items()}).build()


def mixed_feedback() -> Grammar:
    """What First is told goes through a fixed matrix."""
    q = QueryDraft()
    x, y = q.oracle("Nature", points(5))()
    hidden = q.player("First", Factory.of(nn.Linear, 5, 4))(x)
    played = q.player("Second", Factory.of(nn.Linear, 4, 3))(hidden)
    objective = minimise(q.loss("Loss", Factory(nn.functional.cross_entropy))(played, y))
    matrix = torch.arange(16.0).reshape(4, 4) / 16

    def edit(upstream: Upstream) -> Message:
        if not upstream.enters("First"):
            return upstream.message
        return upstream.response.map(fixed_matrix, upstream.message, name="mixed", matrix=matrix)

    return Grammar("mixed-feedback", q.graph(), chain_rule(q, objective, edit=edit), objective, exact())


class Homesick(nn.Linear):
    """Makes a tensor where it should not."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + torch.zeros(3, device=None if input.device == AWAY else input.device)


class Tempered(nn.Linear):
    """Has a parameter that is a number alone, which the optimizer remembers as it remembers others."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.temperature = nn.Parameter(torch.tensor(1.5))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * self.temperature


@pytest.fixture(autouse=True)
def without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the CPU has oneDNN, which sums in an order of its own."""
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


def numbers(assignment: Assignment, away: bool) -> tuple[object, dict[str, Tensor]]:
    """Losses, and the parameters that everybody ends with."""
    device = AWAY if away else CPU

    def watch(round: int, held: Mapping[Slot, Tensor]) -> None:
        strange = {slot: value.device for slot, value in held.items() if value.device != device}
        assert not strange, strange

    with Away() if away else nullcontext(), InlineExecutor(assignment, device=device, watch=watch) as play:
        losses = play.play(ROUNDS).losses
        states = play.states()
    players = [player.name for player in assignment.grammar.query.players]
    held = {f"{name}/{key}": value for name in players for key, value in states[name]["parameters"].items()}
    assert all(type(value) is Tensor for value in held.values())  # states are the CPU's
    return losses, held


def same_numbers(assignment: Assignment) -> None:
    here, there = numbers(assignment, away=False), numbers(assignment, away=True)
    assert here[0] == there[0]
    assert here[1].keys() == there[1].keys() and all(torch.equal(here[1][key], there[1][key]) for key in here[1])


@pytest.mark.parametrize("name", ["backprop", "gan", "vae", "kickback"])
def test_grammars_play_away_as_at_home(name: str) -> None:
    same_numbers(assign(read_experiment(name, {}).build(), ADAM, seed=5))


def test_nature_answers_from_the_cpu_and_clones_follow_away() -> None:
    same_numbers(assign(dac(), SGD, seed=5))


def test_dropout_and_the_matrices_of_maps_are_away() -> None:
    same_numbers(assign(with_dropout(), SGD, seed=5))
    same_numbers(assign(mixed_feedback(), SGD, seed=5))


def test_replicas_play_away_as_at_home() -> None:
    grammar = read_experiment("backprop", {}).build()
    players = [player.name for player in grammar.query.players]
    several = replace(spread(grammar), replicas=((players[0], 2), (players[-1], 3)))
    same_numbers(assign(grammar, SGD, seed=5, placement=several))


@pytest.mark.slow
@pytest.mark.parametrize("share", range(2))
def test_every_grammar_of_the_library_plays_away(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the CPU plays torch's recurrent cells over a whole sequence at once, which rounds otherwise.
    monkeypatch.setattr("antiphon.grammars.torch_cells._LAYERS", {})
    with sdpa_kernel(SDPBackend.MATH):  # torch has no other attention for the device that is away
        for _, grammar in sorted({**library(), "dac": dac()}.items())[share::2]:
            same_numbers(assign(grammar, SGD, seed=5, placement=spread(grammar)))


def test_what_is_made_on_the_cpu_is_noticed() -> None:
    grammar = backprop(points(4), {"Fine": Factory.of(nn.Linear, 4, 4), "Sick": Factory.of(Homesick, 4, 3)})
    with pytest.raises(RoundError, match=r"query    inline: Sick.*add.Tensor met tensors here and away"):
        numbers(assign(grammar, SGD), away=True)


@pytest.mark.parametrize("agent", [ADAM, AgentSpecification.of("NAdam"), RMSPROP])
def test_a_checkpoint_goes_from_device_to_device(agent: AgentSpecification, tmp_path: Path) -> None:
    assignment = assign(backprop(points(4), {"Only": Factory.of(Tempered, 4, 3)}), agent, seed=3)
    with InlineExecutor(assignment) as whole:
        whole.play(3)
        expected = whole.play(3), whole.states()
    with Away():
        with InlineExecutor(assignment, device=AWAY) as first:
            first.play(3)
            first.save(tmp_path)
        states = load_states(tmp_path, ["Nature", "Only"])
        with InlineExecutor(assignment, device=AWAY) as second:
            second.load(states, 3)
            continued = second.play(3), second.states()
    with InlineExecutor(assignment) as home:
        home.load(states, 3)
        returned = home.play(3), home.states()
    for played, ends in (continued, returned):
        assert played.losses == expected[0].losses
        assert flat(ends) == flat(expected[1])


def flat(state: object) -> object:
    """A state with its tensors as lists, to be compared."""
    if isinstance(state, Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {key: flat(value) for key, value in state.items()}
    return [flat(value) for value in state] if isinstance(state, Sequence) and not isinstance(state, str) else state
