"""NaN and infinity: the first wrong value of a run is found where a naive search finds it, and each policy holds."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from antiphon.agents.shards import ELEMENTWISE
from antiphon.agents.specification import AgentSpecification
from antiphon.agents.torch_agent import TorchAgent
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import spread, together
from antiphon.coordinator.plan.steps import Query, Respond, Slot, Transfer
from antiphon.envs import arrays, nature
from antiphon.errors import AgentError, GrammarError, NonfiniteError, OracleError, RoundError
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.finite import all_finite, clipped, has_no_nan, is_finite, refuse_nan
from antiphon.grammars.library import backprop, dac
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.query import Kind
from antiphon.grammars.response import Tap
from antiphon.oracles import gaussian
from antiphon.transport.message import Phase
from rigs.environments import Misbehaving
from rigs.games import points
from rigs.wrong_numbers import PLACES, Refusing, SpoiltMoves, grammar

WRONG = (torch.nan, torch.inf, -torch.inf)
AT, ROUNDS = 2, 5
SGD = AgentSpecification.of("SGD", {"lr": 0.1})
AUTHORS = {
    "data": "oracle 'Nature'",
    "query": "player 'Middle'",
    "action": "player 'Actor'",
    "reward": "oracle 'Nature'",
    "loss": "loss 'Loss'",
    "response": "'spoiling'",
    "gradient": "player 'Middle': the gradient",
}
SEEN_AS_INFINITE = {"action", "loss", "response", "gradient"}
"""Places where infinity is wrong by itself. Elsewhere in the query phase, only what follows from it may be wrong."""


def settled(
    game: Grammar, policy: str, apart: bool = False, agent: AgentSpecification = SGD, staleness: int = 0
) -> Assignment:
    how: Any = {"placement": spread(game) if apart else together(game), "on_nonfinite": policy}
    return assign(game, agent, staleness=staleness, **how)


def naive(assignment: Assignment) -> tuple[int, int, str] | None:
    """Round, position and worker of the first value, in the order of the schedule, that an isfinite of all finds."""
    query, response = assignment.grammar.query, assignment.grammar.response
    actions = {port for node in query.nodes if node.kind is Kind.ORACLE for port in node.inputs}
    found: list[tuple[int, int, str]] = []

    def wrong(slot: Slot, value: Tensor) -> bool:
        mask = slot.phase is Phase.QUERY and slot.port not in actions
        mask = mask and query.by_name[slot.port.node].kind is not Kind.LOSS
        return bool((value.isnan() if mask else ~value.isfinite()).any())

    def watch(round: int, held: Mapping[Slot, Tensor]) -> None:
        for position, step in enumerate(assignment.schedule.of_one_round):
            if isinstance(step, Query | Respond) and not isinstance(response.by_name.get(step.node), Tap):
                found.extend((round, position, step.worker) for slot in step.writes if wrong(slot, held[slot]))

    with InlineExecutor(assignment, watch=watch) as executor:
        executor.play(ROUNDS)
    return found[0] if found else None


@pytest.mark.parametrize(("apart", "staleness"), [(False, 0), (True, 0), (True, 1)])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("place", PLACES)
def test_the_first_wrong_value_is_named_as_a_naive_search_finds_it(place, wrong, apart, staleness):
    game = grammar(place, wrong, AT)
    expected = naive(settled(game, "warn", apart, staleness=staleness))
    assert expected is not None and expected[0] == AT
    with (
        InlineExecutor(settled(game, "fail", apart, staleness=staleness)) as executor,
        pytest.raises(NonfiniteError) as failure,
    ):
        executor.play(ROUNDS)
    told = failure.value
    assert (told.round, told.position, told.worker) == expected
    if wrong != wrong or place in SEEN_AS_INFINITE:
        assert AUTHORS[place] in str(told)
    for part in (repr(told.worker), f"round {AT}", "expected finite numbers", "on_nonfinite"):
        assert part in str(told)


def test_a_value_that_makes_the_code_of_a_user_raise_is_named_instead_of_the_exception():
    executor = InlineExecutor(settled(grammar("data", middle=Refusing), "fail"))
    with executor, pytest.raises(NonfiniteError, match="oracle 'Nature': its answer") as failure:
        executor.play(ROUNDS)
    assert isinstance(failure.value.__cause__, RoundError) and "no NaN, please" in str(failure.value.__cause__)


@pytest.mark.parametrize("place", PLACES)
def test_a_warning_names_the_same_value_first_and_changes_no_number(place):
    game = grammar(place, torch.nan, AT)
    expected = naive(settled(game, "warn"))
    with InlineExecutor(settled(game, "warn")) as executor:
        played = executor.play(ROUNDS)
    first = next(iter(played.nonfinite.values()))
    assert expected is not None and (first.round, first.position) == expected[:2]
    assert all(each.count <= ROUNDS - each.round for each in played.nonfinite.values())
    assert played.losses["Loss"].values[AT] != played.losses["Loss"].values[AT] or place in ("response", "gradient")


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("place", PLACES)
def test_clipped_values_leave_every_parameter_finite(place, wrong):
    with InlineExecutor(settled(grammar(place, wrong, AT), "clip")) as executor:
        played = executor.play(ROUNDS)
        states = executor.states()
    assert played.round == ROUNDS and played.nonfinite
    assert next(iter(played.nonfinite.values())).round == AT
    for name in ("First", "Middle", "Actor", "Last"):
        assert all(value.isfinite().all() for value in states[name]["parameters"].values())


@pytest.mark.parametrize(("apart", "staleness"), [(False, 0), (True, 0), (True, 1)])
@pytest.mark.parametrize("place", PLACES)
def test_in_a_skipped_round_nobody_moves_and_the_next_round_is_played(place, apart, staleness):
    states = []
    assignment = settled(grammar(place, torch.nan, AT), "skip-round", apart, staleness=staleness)
    with InlineExecutor(assignment) as at_once:
        for each in at_once.play(ROUNDS).skipped.values():
            assert (each.moves, each.round) == (1, AT)
    with InlineExecutor(assignment) as executor:
        for _ in range(ROUNDS):
            played = executor.play(1)
            states.append({name: state.get("parameters") for name, state in executor.states().items()})
            skipped = played.round - 1 == AT
            assert bool(played.nonfinite) == skipped
            assert set(played.skipped) == ({"First", "Middle", "Actor", "Last"} if skipped else set())
    assert str(states[AT]) == str(states[AT - 1]) and str(states[AT]) != str(states[AT + 1])
    for player, values in states[AT].items():
        assert all(torch.equal(value, states[AT - 1][player][name]) for name, value in (values or {}).items())


def test_a_skipped_move_is_counted_wherever_the_agent_is():
    game, found = grammar("data", torch.nan, AT), []
    for placement in (together(game), spread(game, agents={"Last": "First"})):
        with InlineExecutor(assign(game, SGD, placement=placement, on_nonfinite="skip-round")) as executor:
            executor.play(ROUNDS)
            found += [executor.states()["Last"]["moves"]]
    assert found == [ROUNDS, ROUNDS]


def test_without_a_wrong_number_every_policy_gives_the_same_bits():
    found = []
    for policy in ("fail", "skip-round", "clip", "warn"):
        with InlineExecutor(settled(grammar(""), policy, apart=True)) as executor:
            played = executor.play(ROUNDS)
            found.append((played.losses, executor.states()["First"]["parameters"]["weight"].tolist()))
            assert not played.nonfinite and not played.skipped
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("policy", ["fail", "skip-round", "clip", "warn"])
def test_a_parameter_that_a_move_makes_wrong_is_named(policy, wrong):
    moves = []

    def spoil(optimizer: torch.optim.Optimizer, *_: object) -> None:
        moves.append(optimizer)
        if len(moves) == 4 * AT + 2:  # the second of the four players, in round AT
            optimizer.param_groups[0]["params"][0].view(-1)[1] = wrong

    hook = register_optimizer_step_post_hook(spoil)
    try:
        with InlineExecutor(settled(grammar(""), policy)) as executor:
            if policy in ("fail", "skip-round"):  # what a move did cannot be taken back
                with pytest.raises(NonfiniteError, match="its parameter 'weight', after its move") as failure:
                    executor.play(ROUNDS)
                assert failure.value.round == AT
                return
            first = next(iter(executor.play(ROUNDS).nonfinite.values()))
            assert first.round == AT and "its parameter 'weight', after its move" in first.text
            if policy == "clip":
                assert all(v.isfinite().all() for v in executor.states()["Middle"]["parameters"].values())
    finally:
        hook.remove()


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("optimizer", sorted({*ELEMENTWISE} - {"Rprop"}))
@pytest.mark.parametrize("arguments", [{}, {"lr": 0.0}, {"clip_norm": 1.0}])
def test_a_wrong_gradient_shows_in_the_parameter_that_moves_by_it(optimizer, arguments, wrong):
    # So gradients of these optimizers need no test of their own.
    parameter, options = nn.Parameter(torch.ones(3)), {k: v for k, v in arguments.items() if k == "clip_norm"}
    agent = TorchAgent([parameter], optimizer=optimizer, arguments={"lr": arguments.get("lr", 0.1)}, **options)
    for gradient in (torch.ones(3), torch.tensor([1.0, wrong, 0.0])):
        agent.hear([gradient])
        agent.move()
    assert not parameter[1].isfinite()


def test_an_answer_of_a_users_agent_that_is_wrong_names_the_agent_and_its_round():
    agents = {"Middle": AgentSpecification.of(agent=SpoiltMoves)}
    game = grammar("")
    placement = spread(game, agents={"Middle": "far"})
    for policy in ("fail", "clip"):
        assignment = assign(game, agents, placement=placement, on_nonfinite=policy)
        with (
            InlineExecutor(assignment) as executor,
            pytest.raises(AgentError, match="'Middle' moved in round 2") as told,
        ):
            executor.play(ROUNDS)
        assert told.value.worker == "far"


class Masking(nn.Module):
    """Its parameter holds a mask of -inf from the start, and its output is -inf where the mask is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.mask = nn.Parameter(torch.tensor([0.0, -torch.inf, 0.0, torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply, and add the mask."""
        return x * self.weight + self.mask


class Unmasked(nn.Linear):
    """A linear layer that takes no part of the infinite inputs."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute the layer."""
        return super().forward(input.nan_to_num(posinf=0.0, neginf=0.0))


@pytest.mark.parametrize("policy", ["fail", "skip-round", "clip", "warn"])
def test_infinity_in_a_query_and_in_a_mask_is_no_alarm(policy):
    layers = {"Mask": Factory.of(Masking), "Last": Factory.of(Unmasked, 4, 3)}
    with InlineExecutor(settled(backprop(points(4), layers), policy)) as executor:
        played = executor.play(ROUNDS)
    assert not played.nonfinite and played.round == ROUNDS


@pytest.mark.parametrize("policy", ["fail", "clip"])
def test_the_mask_of_a_transformer_is_no_alarm(policy):
    small = {"blocks": 1, "width": 8, "heads": 2, "context": 4, "batch": 3}
    game = read_experiment("transformer", {f"transformer.{key}": value for key, value in small.items()}).build()
    with InlineExecutor(settled(game, policy)) as executor:
        played = executor.play(ROUNDS)
    assert played.round == ROUNDS and not played.nonfinite


def test_a_number_of_a_data_set_that_is_nan_is_found_in_the_round_that_draws_it():
    x, y = torch.randn(12, 4), torch.randint(3, (12,))
    x[7, 2] = torch.nan
    game = backprop(arrays(x, y, batch=4, shuffle=False), {"Last": Factory.of(nn.Linear, 4, 3)})
    with InlineExecutor(settled(game, "fail")) as executor, pytest.raises(NonfiniteError) as failure:
        executor.play(ROUNDS)
    assert failure.value.round == 1
    assert "oracle 'Nature'" in str(failure.value) and "1 NaN and 0 infinite of 16 arrived" in str(failure.value)


@pytest.mark.parametrize("policy", ["fail", "skip-round", "clip", "warn"])
@pytest.mark.parametrize("fault", ["nan", "huge", "nan reward", "huge reward"])
def test_an_environment_that_answers_wrong_numbers_is_refused_with_every_policy(fault, policy):
    # Its memory would keep the number, and draw it again and again.
    world = nature(Misbehaving, envs=2, batch=4, warmup=2, keywords={"fault": fault})
    actor, critic = Factory.of(Policy, 3, 1, (4,)), Factory.of(StateAction, 3, 1, 1, (4,))
    deviator, noise = Factory.of(StateAction, 3, 1, 1, (4,)), gaussian((1,), batch=2, symbol="envs")
    game = dac(world, noise, actor, critic, deviator, act_every=1, learn_from=2)
    with InlineExecutor(settled(game, policy)) as executor, pytest.raises(OracleError, match="Misbehaving") as failure:
        executor.play(ROUNDS)
    assert not isinstance(failure.value, NonfiniteError) and failure.value.worker


class Huge(nn.Linear):
    """A layer with outputs so large that their sum overflows."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute the layer, and add 3e38."""
        return super().forward(input) + 3e38


class Small(nn.Linear):
    """A layer that divides its inputs by 3e38 first."""

    def forward(self, input: Tensor) -> Tensor:
        """Divide, and compute the layer."""
        return super().forward(input / 3e38)


def test_a_sum_that_overflows_is_no_alarm():
    layers = {"Huge": Factory.of(Huge, 4, 4), "Small": Factory.of(Small, 4, 3)}
    with InlineExecutor(settled(backprop(points(4), layers), "fail")) as executor:
        assert executor.play(ROUNDS).round == ROUNDS


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("shape", [(), (3,), (70, 70)])
def test_tests_of_tensors_agree_with_torch(shape, dtype):
    large = torch.finfo(dtype).max
    for number in (1.0, large, -large, torch.inf, -torch.inf, torch.nan):
        value = torch.full(shape, large, dtype=dtype)
        value.view(-1)[-1] = number
        assert is_finite(value) == bool(value.isfinite().all())
        assert has_no_nan(value) == (not value.isnan().any())
        assert all_finite([torch.ones(2), value]) == all_finite([value], [torch.ones(2)]) == is_finite(value)
        if not dtype.is_complex:
            assert torch.equal(clipped(value), torch.nan_to_num(value))


def test_integers_and_bools_need_no_test():
    assert all(is_finite(torch.ones(2, dtype=dtype)) for dtype in (torch.int64, torch.bool))


class Uninitialised(nn.Linear):
    """A layer that forgot to fill its weight."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.weight = nn.Parameter(torch.full((3, 4), torch.nan))


def test_a_player_that_is_made_with_nan_is_refused_by_name():
    with pytest.raises(GrammarError, match=r"player 'Last' made by .*NaN in its parameter 'weight'"):
        InlineExecutor(settled(backprop(points(4), {"Last": Factory.of(Uninitialised)}), "warn"))


def test_saved_states_with_nan_are_refused_by_the_names_of_owner_and_parameter():
    states = {"Actor": {"parameters": {"mask": torch.tensor([-torch.inf]), "bias": torch.tensor([0.0, torch.nan])}}}
    with pytest.raises(NonfiniteError, match=r"runs/one: parameter 'bias' of 'Actor' holds NaN in 1 of 2 numbers"):
        refuse_nan(states, "runs/one")
    states["Actor"]["parameters"]["bias"].zero_()
    refuse_nan(states, "runs/one")


def test_the_vote_stands_behind_all_responses_and_before_every_delivery():
    steps = settled(grammar(""), "skip-round", apart=True).schedule.steps
    kinds = [type(step).__name__ for step in steps if not isinstance(step, Transfer)]
    votes = [position for position, kind in enumerate(kinds) if kind == "Vote"]
    assert kinds[votes[0] : votes[-1] + 1] == ["Vote"] * (2 * 6 + 1)
    assert set(kinds[: votes[0]]) == {"Query", "Respond"}
    assert kinds[votes[-1] + 1 :] == ["Respond"] * 4 + ["Move"] * 4
