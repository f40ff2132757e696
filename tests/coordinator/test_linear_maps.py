"""A map that declares how it is linear: replicas apply it to their shares, and a false declaration is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.coordinator.plan.steps import Respond
from antiphon.coordinator.recorder import RECORDER, delivered
from antiphon.errors import PlacementError
from antiphon.grammars.chain_rule import Upstream, chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.maps import Linearity, linear
from antiphon.grammars.objective import minimise
from antiphon.grammars.random_grammars import mean_gap
from antiphon.grammars.writing import Message, ResponseDraft
from rigs.games import points


@linear(Linearity.NUMBERS)
def third(message: Tensor) -> Tensor:
    """A user's map, which multiplies by a number."""
    return message / 3


@linear(Linearity.EXAMPLES)
class Reversed(nn.Module):
    """A user's map, which permutes the numbers of each example."""

    def forward(self, message: Tensor) -> Tensor:
        return message.flip(1)


@linear(Linearity.EXAMPLES)
def squared(message: Tensor) -> Tensor:
    """Declares what it is not."""
    return message * message


@linear(Linearity.EXAMPLES)
def rolled(message: Tensor) -> Tensor:
    """Linearity, but each example gets the message of another one."""
    return message.roll(1, dims=0)


def mapped(*operations: Any) -> Grammar:
    """Two layers; what the second sends to the first passes through these maps. Any: maps."""
    q = QueryDraft()
    x, _ = q.oracle("Nature", points(4))()
    loss = q.loss("Loss", mean_gap)(q.player("Last", nn.Linear, 4, 4)(q.player("First", nn.Linear, 4, 4)(x)), x)

    def edit(upstream: Upstream) -> Message:
        message = upstream.message
        for operation in operations if upstream.target.owner == "First" else ():
            message = upstream.response.map(operation, message)
        return message

    return Grammar("mapped", q.graph(), chain_rule(q, minimise(loss), edit=edit), minimise(loss))


def halved(grammar: Grammar, *players: str, **changes: Any) -> Placement:
    """Two replicas of each of these players. Any: fields of the placement."""
    return replace(spread(grammar), replicas=tuple((player, 2) for player in players), **changes)


def response_to(grammar: Grammar, placement: Placement) -> dict[str, list[Tensor]]:
    with InlineExecutor(assign(grammar, RECORDER, placement=placement)) as executor:
        executor.play(1)
        return delivered(executor)


def test_a_linear_map_of_a_user_is_applied_by_each_replica_to_its_share() -> None:
    grammar = mapped(third, Reversed)
    placement = halved(grammar, "First", "Last")
    steps = assign(grammar, placement=placement).schedule.steps
    maps = [step.worker for step in steps if isinstance(step, Respond) and step.node in ("third", "Reversed")]
    assert sorted(maps) == ["Last", "Last", "Last#1", "Last#1"]
    torch.testing.assert_close(response_to(grammar, placement), response_to(grammar, spread(grammar)))


def test_a_map_that_multiplies_by_a_number_may_stand_before_a_sharded_player() -> None:
    q = QueryDraft()
    x, _ = q.oracle("Nature", points(4))()
    loss = q.loss("Loss", mean_gap)(q.player("First", nn.Linear, 4, 4)(x), x)
    r = ResponseDraft(q.graph())
    r.deliver("First", r.map(third, r.product("First", r.product("Loss", r.seed(loss)).toward(0)).parameters))
    grammar = Grammar("third", q.graph(), r.graph(), minimise(loss))
    found = response_to(grammar, halved(grammar, "First", sharded=("First",)))
    torch.testing.assert_close(found, response_to(grammar, halved(grammar, "First")), rtol=0, atol=0)
    torch.testing.assert_close(found, response_to(grammar, spread(grammar)))


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (squared, "what it makes of a sum is another thing than the sum of what it makes of each term"),
        (rolled, "what it plays for one example changes with the other examples of the batch"),
    ],
)
def test_a_map_that_is_not_as_linear_as_it_declares_is_refused(operation: Any, text: str) -> None:
    grammar = mapped(operation)
    assign(grammar, placement=spread(grammar))  # alone, nobody relies on it
    with pytest.raises(PlacementError, match=f"map '{operation.__name__}'.*{text}. Remove the declaration"):
        assign(grammar, placement=halved(grammar, "First", "Last"))
