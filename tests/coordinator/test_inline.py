"""The inline executor: one worker or many, the numbers are the same to the last bit; the caller is left as it was."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.executor import Executor
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.plan.step_order import StepOrder
from antiphon.envs.gymnasium import Nature
from antiphon.errors import RoundError
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.random_grammars import sample_grammar
from antiphon.grammars.states import same_states
from rigs.games import convolutional, failing, points, small_dac, with_dropout

KINDS = [
    AgentSpecification.of("Adam", {"lr": 1e-2}, clip_norm=0.5),
    AgentSpecification.of("SGD", {"lr": 0.05, "momentum": 0.9}, cadence=Cadence(3, 1)),
    AgentSpecification.of("RMSprop", {"lr": 1e-3}, scheduler="StepLR", scheduler_arguments={"step_size": 7}),
]


class Shift(nn.Module):
    """A parameter of the odd shape (5,), and normalisation over the batch with its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(5))
        self.norm = nn.BatchNorm1d(5)

    def forward(self, value: Tensor) -> Tensor:
        return self.norm(value + self.shift)


def odd() -> Grammar:
    layers = {
        "In": Factory.of(nn.Linear, 3, 5),
        "Shift": Factory.of(Shift),
        "Drop": Factory.of(nn.Dropout, 0.4),
        "Out": Factory.of(nn.Linear, 5, 3),
    }
    return backprop(points(3), layers, skips={"Shift": "In"})


class Crooked:
    """Answers tensors that are neither contiguous nor aligned."""

    def __init__(self, inner: OracleDeclaration, seed: int) -> None:
        self.inner = inner.make(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        x, y = self.inner.answer(question, inputs, round)
        room = torch.empty(x.numel() + 1)[1:].view(x.shape[::-1])
        room.copy_(x.T)
        return room.T, y

    def __getattr__(self, name: str):
        return getattr(self.inner, name)


class Strict(nn.Linear):
    """Takes contiguous, 64-byte aligned values only."""

    def forward(self, input: Tensor) -> Tensor:
        assert input.is_contiguous()
        assert input.data_ptr() % 64 == 0
        return super().forward(input)


def crooked() -> Grammar:
    inner = points(13)
    nature = OracleDeclaration(Factory.of(Crooked, inner), inner.questions, inner.sizes)
    return backprop(
        nature, {"In": Factory.of(Strict, 13, 17), "Turn": Factory.of(turned), "Out": Factory.of(Strict, 17, 3)}
    )


def turned(value: Tensor) -> Tensor:
    """The same values, laid out by columns."""
    return value.T.contiguous().T


def specifications(grammar: Grammar) -> dict[str, AgentSpecification]:
    return {player.name: KINDS[index % 3] for index, player in enumerate(grammar.query.players)}


def run(grammar: Grammar, placement: Placement | None = None, rounds: int = 100, order: StepOrder | None = None):
    """Parameters and buffers, agents' states, losses."""
    assignment = assign(grammar, specifications(grammar), placement=placement, seed=5, order=order)
    with InlineExecutor(assignment) as executor:
        played, states = executor.play(rounds), executor.states()
    names = [player.name for player in grammar.query.players]
    agents = {name: states.get(f"{name}@agent", states[name])["agent"] for name in names}
    return {name: (states[name]["parameters"], states[name]["buffers"]) for name in names}, agents, played.losses


GRAMMARS = [with_dropout, convolutional, odd, crooked, lambda: sample_grammar(7), lambda: sample_grammar(11)]


@pytest.mark.parametrize("make", GRAMMARS)
def test_together_and_spread_are_bitwise_the_same(make: Callable[[], Grammar]):
    grammar = make()
    together = run(grammar)
    assert same_states(run(grammar, spread(grammar)), together)
    assert same_states(run(grammar, spread(grammar), order=StepOrder.GPIPE), together)


@pytest.mark.parametrize("make", GRAMMARS[:4])
def test_an_agent_that_lives_elsewhere_makes_the_same_moves(make: Callable[[], Grammar]):
    grammar = make()
    players = [player.name for player in grammar.query.players]
    agents = {name: f"agent{index % 2}" for index, name in enumerate(players)}
    assert same_states(run(grammar, spread(grammar, agents=agents)), run(grammar))


def test_another_seed_is_another_run():
    grammar = with_dropout()
    with InlineExecutor(assign(grammar, seed=1)) as one, InlineExecutor(assign(grammar, seed=2)) as two:
        assert not same_states(one.play(2).losses, two.play(2).losses)


def test_rounds_in_one_call_or_in_many_are_the_same():
    grammar = with_dropout()
    with InlineExecutor(assign(grammar)) as one, InlineExecutor(assign(grammar)) as two:
        one.play(12)
        for rounds in (1, 5, 0, 6):
            two.play(rounds)
        assert one.round == two.round == 12
        assert same_states(one.states(), two.states())


def test_two_executors_do_not_disturb_each_other():
    grammar = with_dropout()
    with InlineExecutor(assign(grammar)) as alone:
        alone.play(6)
        expected = alone.states()
    with InlineExecutor(assign(grammar)) as one, InlineExecutor(assign(convolutional(), seed=9)) as other:
        for _ in range(3):
            one.play(2)
            other.play(1)
            torch.randn(3)
        assert same_states(one.states(), expected)


@pytest.mark.parametrize("apart", [False, True])
def test_the_callers_random_stream_and_threads_are_left_alone(apart):
    grammar = with_dropout()
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    with InlineExecutor(assign(grammar, placement=spread(grammar) if apart else None)) as executor:
        executor.play(3)
        executor.states()
    assert torch.get_num_threads() == 2
    assert torch.get_rng_state().equal(before)


def test_the_callers_threads_are_left_alone_when_a_round_fails():
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    with InlineExecutor(assign(failing())) as executor, pytest.raises(RoundError):
        executor.play(9)
    assert torch.get_num_threads() == 2
    assert torch.get_rng_state().equal(before)


def test_closing_twice_is_allowed():
    executor: Executor = InlineExecutor(assign(with_dropout()))
    executor.close()
    executor.close()


def test_an_evaluation_gets_the_players_and_what_oracles_have_learned(monkeypatch):
    with InlineExecutor(assign(small_dac())) as executor:
        executor.play(33)
        whole, learned = executor.states(), executor.states(learned=True)
        assert same_states(learned, {name: whole[name] for name in ("Actor", "Critic", "Deviator")})
        monkeypatch.setattr(Nature, "learned", lambda nature: {"scale": torch.ones(3)}, raising=False)
        assert same_states(executor.states(learned=True), {**learned, "Nature": {"scale": torch.ones(3)}})
