"""Player: made from its seed, moved by its agent, resumed exactly; and nothing is half-installed."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from antiphon.agents import AgentHost, AgentSpecification, Player
from antiphon.errors import AgentError, GrammarError, ProtocolError, ShapeError
from antiphon.grammars.factory import Factory

LINEAR = Factory.of(nn.Linear, 3, 2)
SGD = AgentSpecification.of("SGD", {"lr": 0.5, "momentum": 0.5})


class Normed(nn.Module):
    """Trainable, frozen and counted."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 2)
        self.head.bias.requires_grad_(False)

    def forward(self, value: Tensor) -> Tensor:
        return self.head(self.norm(value))


class Stubborn:
    """Plays what its argument says."""

    def __init__(self, parameters: Sequence[Tensor], play: str) -> None:
        self.parameters, self.play = parameters, play

    def hear(self, response: Sequence[Tensor]) -> None:
        for tensor in response:
            tensor.fill_(9)
        if self.play == "deaf":
            raise RuntimeError("what?")

    def move(self) -> Any:
        for parameter in self.parameters:
            parameter.fill_(7)
        if self.play == "tired":
            raise RuntimeError("not today")
        first, *rest = self.parameters
        moves = {"fewer": [first], "single": first, "turned": [first.T, *rest], "wide": [first.double(), *rest]}
        return {**moves, "named": [first.tolist(), *rest]}[self.play]

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        raise KeyError("velocity")


def response(seed: int, player: Player) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(parameter.shape, generator=generator) for parameter in player.parameters]


def values(player: Player) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in player.parameters]


def equal(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    return len(these) == len(those) and all(map(torch.equal, these, those))


def play(player: Player, rounds: range) -> list[Tensor]:
    for round in rounds:
        player.hear(response(round, player))
        player.move(round)
    return values(player)


def test_equal_seeds_make_equal_players_whatever_was_drawn_before():
    torch.manual_seed(1)
    first = Player("x", LINEAR, SGD, seed=5)
    torch.rand(7)
    assert equal(values(first), values(Player("y", LINEAR, None, seed=5)))
    assert not equal(values(first), values(Player("x", LINEAR, SGD, seed=6)))


def test_making_a_player_leaves_the_callers_random_stream():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Player("x", LINEAR, SGD, seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_hosts_trainable_parameters_in_the_order_of_the_module():
    player = Player("x", Factory.of(Normed), SGD, seed=0)
    assert [name for name, _ in player.named] == ["norm.weight", "norm.bias", "head.weight"]
    assert player.module.training and all(value.requires_grad for value in player.parameters)


def test_moves_in_place_against_the_gradient():
    player = Player("x", LINEAR, SGD, seed=0)
    before, parameters = values(player), player.parameters
    heard = response(0, player)
    player.hear(heard)
    player.move(0)
    assert equal(values(player), [old - 0.5 * gradient for old, gradient in zip(before, heard, strict=True)])
    assert all(one is other for one, other in zip(parameters, player.module.parameters(), strict=True))
    assert player.moves == 1 and equal(heard, response(0, player))


def test_a_flat_response_is_heard_as_its_pieces():
    pieces, flat = Player("x", LINEAR, SGD, seed=0), Player("x", LINEAR, SGD, seed=0)
    pieces.hear(response(0, pieces))
    flat.hear(torch.cat([tensor.flatten() for tensor in response(0, flat)]))
    pieces.move(0)
    flat.move(0)
    assert equal(values(pieces), values(flat))


def test_responses_before_a_move_add_up():
    one, two = Player("x", LINEAR, SGD, seed=0), Player("x", LINEAR, SGD, seed=0)
    one.hear([2 * tensor for tensor in response(0, one)])
    two.hear(response(0, two))
    two.hear(response(0, two))
    one.move(0)
    two.move(0)
    assert equal(values(one), values(two))


def test_an_agent_with_copies_moves_as_one_in_place(momentum: type, named: Callable[[type], str]):
    guest = AgentSpecification.of(agent=named(momentum), arguments={"rate": 0.5, "inertia": 0.5})
    player = Player("x", LINEAR, guest, seed=0)
    assert equal(play(player, range(4)), play(Player("x", LINEAR, SGD, seed=0), range(4)))


def test_an_agent_elsewhere_moves_as_one_in_place():
    here, away = Player("x", LINEAR, SGD, seed=0), Player("x", LINEAR, None, seed=0)
    host = AgentHost("x", SGD, away.named)
    for round in range(4):
        host.hear(response(round, away))
        away.install(host.move(round))
    assert equal(play(here, range(4)), values(away)) and away.moves == 4
    again, fresh = AgentHost("x", SGD, away.named), Player("x", LINEAR, None, seed=1)
    fresh.load(away.state())
    again.load(host.state(), fresh.parameters)
    for round in range(4, 6):
        again.hear(response(round, fresh))
        fresh.install(again.move(round))
    assert equal(play(here, range(4, 6)), values(fresh))


@pytest.mark.parametrize("kind", ["torch", "guest"])
def test_resumes_exactly(kind: str, momentum: type, named: Callable[[type], str]):
    specification = SGD if kind == "torch" else AgentSpecification.of(agent=named(momentum))
    whole = Player("x", Factory.of(Normed), specification, seed=0)
    whole.module(torch.arange(12.0).view(4, 3))  # moves the running statistics
    play(whole, range(3))
    state = whole.state()
    resumed = Player("x", Factory.of(Normed), specification, seed=9)
    parameters = resumed.parameters
    resumed.load(state)
    assert equal(play(resumed, range(3, 6)), play(whole, range(3, 6)))
    assert resumed.moves == whole.moves == 6 and all(map(torch.equal, whole.module.buffers(), resumed.module.buffers()))
    assert torch.equal(resumed.module.get_parameter("head.bias"), whole.module.get_parameter("head.bias"))
    assert all(one is other for one, other in zip(parameters, resumed.parameters, strict=True))


def test_a_state_is_not_moved_by_later_moves():
    player = Player("x", LINEAR, SGD, seed=0)
    play(player, range(2))
    state, then = player.state(), values(player)
    after = play(player, range(2, 4))
    player.load(state)
    assert equal(values(player), then)
    assert equal(play(player, range(2, 4)), after)


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        ([torch.zeros(2, 3)], "player 'x' expected 2 tensors, and 1 arrived. "),
        (
            [torch.zeros(2, 3), torch.zeros(3)],
            "player 'x' expected float32[2] for parameter 'bias', and float32[3] arrived. ",
        ),
        (
            [torch.zeros(2, 3).double(), torch.zeros(2)],
            "player 'x' expected float32[2, 3] for parameter 'weight', and float64[2, 3] arrived. ",
        ),
        (torch.zeros(7), "player 'x' expected a flat vector of 8 elements, and float32[7] arrived. "),
        (torch.zeros(2, 4), "player 'x' expected a flat vector of 8 elements, and float32[2, 4] arrived. "),
    ],
)
def test_refuses_a_response_of_another_shape(refusal, heard: Any, text: str):
    remedy = "Send one tensor per parameter, in order, or one flat vector of 8 elements."
    player = Player("x", LINEAR, SGD, seed=0)
    assert refusal(ShapeError, lambda: player.hear(heard)) == text + remedy
    assert refusal(ShapeError, lambda: player.install(heard)) == text + remedy
    assert refusal(ProtocolError, lambda: player.move(3)) == (
        "player 'x' was to move in round 3, but received no response since its last move; expected at least one. "
        "Deliver its response first, or leave the move to a round of its cadence."
    )


def test_each_move_needs_a_response_of_its_own():
    player = Player("x", LINEAR, SGD, seed=0)
    play(player, range(1))
    with pytest.raises(ProtocolError):
        player.move(1)


@pytest.mark.parametrize(
    ("plays", "what"),
    [
        ("fewer", "expected 2 tensors, and 1 arrived"),
        ("single", "expected a sequence of 2 tensors, and Tensor arrived"),
        ("turned", "expected float32[2, 3] for parameter 'weight', and float32[3, 2] arrived"),
        ("wide", "expected float32[2, 3] for parameter 'weight', and float64[2, 3] arrived"),
        ("named", "expected float32[2, 3] for parameter 'weight', and list arrived"),
    ],
)
def test_a_wrong_move_installs_nothing(refusal, plays: str, what: str, named: Callable[[type], str]):
    player = Player("x", LINEAR, AgentSpecification.of(agent=named(Stubborn), arguments={"play": plays}), seed=0)
    before, heard = values(player), response(0, player)
    player.hear(heard)
    assert refusal(AgentError, lambda: player.move(4)) == (
        f"agent {named(Stubborn)!r} of player 'x' moved in round 4: {what}. "
        "Return the new parameters as they were lent: in number, order, shape and dtype."
    )
    assert equal(values(player), before) and equal(heard, response(0, player)) and player.moves == 0


def test_an_agent_that_raises_installs_nothing_and_is_named(refusal, named: Callable[[type], str]):
    specification = AgentSpecification.of(agent=named(Stubborn), arguments={"play": "tired"})
    player = Player("x", LINEAR, specification, seed=0)
    before = values(player)
    player.hear(response(0, player))
    remedy = f"Correct the agent, or its arguments ({specification.description})."
    assert refusal(AgentError, lambda: player.move(4)) == (
        f"agent {named(Stubborn)!r} of player 'x' raised RuntimeError in move in round 4: not today. "
        f"Expected the new parameters. {remedy}"
    )
    assert refusal(AgentError, lambda: player.load(player.state())) == (
        f"agent {named(Stubborn)!r} of player 'x' raised KeyError in load: 'velocity'. "
        f"Expected it to continue from a state of its own. {remedy}"
    )
    assert equal(values(player), before)
    deaf = Player("x", LINEAR, AgentSpecification.of(agent=named(Stubborn), arguments={"play": "deaf"}), seed=0)
    assert refusal(AgentError, lambda: deaf.hear(response(0, deaf))).startswith(
        f"agent {named(Stubborn)!r} of player 'x' raised RuntimeError in hear: what?. "
        "Expected it to take every response of its parameters' shapes. "
    )


def test_torch_too_is_named_when_it_raises(refusal):
    schedule = AgentSpecification.of(
        "SGD", scheduler="OneCycleLR", scheduler_arguments={"max_lr": 0.1, "total_steps": 2, "cycle_momentum": False}
    )
    assert refusal(AgentError, lambda: play(Player("x", LINEAR, schedule, seed=0), range(3))).startswith(
        "agent 'torch' of player 'x' raised ValueError in move in round 2: Tried to step 3 times."
    )


def test_is_saved_between_rounds_only(refusal):
    player = Player("x", LINEAR, SGD, seed=0)
    player.hear(response(0, player))
    assert refusal(ProtocolError, player.state) == (
        "player 'x' was to be saved with 1 responses received and no move made; expected a cut between rounds. "
        "Save after the move, and deliver nothing off the player's cadence."
    )


def test_without_an_agent_it_neither_hears_nor_moves(refusal):
    player = Player("x", LINEAR, None, seed=0)
    assert (
        refusal(ProtocolError, lambda: player.hear([]))
        == refusal(ProtocolError, lambda: player.move(0))
        == (
            "player 'x' was to receive a response or move here, but its agent lives on another worker; "
            "expected its moves through install. "
            "Send the response to that worker's AgentHost, or give this player a specification."
        )
    )


def test_refuses_what_is_no_module_or_has_nothing_to_move(refusal):
    assert refusal(GrammarError, lambda: Player("x", Factory.of(torch.zeros, 2), SGD, seed=0)) == (
        f"player 'x' is made by {Factory.of(torch.zeros, 2)}, which returned a Tensor; expected a torch.nn.Module. "
        "Declare a module class, or a function that returns one."
    )
    assert refusal(GrammarError, lambda: Player("x", Factory.of(nn.ReLU), SGD, seed=0)) == (
        "player 'x' made by torch.nn.modules.activation:ReLU() has no parameter that requires a gradient; "
        "expected at least one. Declare what never moves as an operator or an oracle."
    )


def test_refuses_the_state_of_another_module_and_loads_nothing(refusal):
    player = Player("x", LINEAR, SGD, seed=0)
    before = values(player)
    wide, bare = Factory.of(nn.Linear, 4, 2), Factory.of(nn.Linear, 3, 2, bias=False)
    assert refusal(ShapeError, lambda: player.load(Player("x", wide, SGD, seed=1).state())) == (
        "player 'x' has 'weight' among its parameters as float32[2, 3], and the state to load has float32[2, 4]. "
        "Resume with the module that was saved."
    )
    assert refusal(ShapeError, lambda: player.load(Player("x", bare, SGD, seed=1).state())) == (
        "player 'x' has the parameters ['bias', 'weight'], and the state to load has ['weight']. "
        "Resume with the module that was saved."
    )
    assert equal(values(player), before)
