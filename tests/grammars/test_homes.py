"""Who is at home where: the rule that placements, schedules and costs share."""

import torch
from torch import nn

from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import hearers, homes, response_homes
from antiphon.grammars.maps import negate, scale
from antiphon.grammars.objective import minimise
from antiphon.grammars.writing import ResponseDraft
from rigs.games import convolutional, points


def told_at_home(grammar: Grammar) -> dict[str, str]:
    players = {player.name: player.name for player in grammar.query.players}
    return dict(response_homes(grammar, homes(grammar.query), players))


def test_an_operator_lives_with_its_consumer_and_a_clone_with_its_player():
    assert homes(convolutional().query) == {
        "Nature.sample": "Nature",
        "Conv": "Conv",
        "Pool": "Last",
        "Flat": "Last",
        "Last": "Last",
        "Loss": "Loss",
    }
    q = QueryDraft()
    x, _ = q.oracle("Nature", points(3))()
    player = q.player("Player", nn.Linear, 3, 3)
    old = q.clone("Player~", player)
    objective = minimise(q.loss("Loss", nn.MSELoss)(player(x), old(x)))
    grammar = Grammar("clone", q.graph(), chain_rule(q, objective), objective)
    assert homes(grammar.query)["Player~"] == "Player"


def test_an_operator_that_nobody_takes_lives_with_its_first_input():
    q = QueryDraft()
    x, _ = q.oracle("Nature", points(3))()
    y = q.player("Player", nn.Linear, 3, 3)(x)
    q.operator("unheard", torch.neg)(y)
    q.loss("Loss", nn.MSELoss)(y, x)
    assert homes(q.graph())["unheard"] == "Player"


def two_hearers(shared: bool) -> Grammar:
    """Two layers that hear the loss's one message about the last of them, through a map or through one each."""
    q = QueryDraft()
    x, _ = q.oracle("Nature", points(3))()
    low = q.player("Low", nn.Linear, 3, 3)(x)
    high = q.player("High", nn.Linear, 3, 3)(low)
    loss = q.loss("Loss", nn.MSELoss)(high, x)
    r = ResponseDraft(q.graph())
    told = r.product(loss, r.seed(loss)).toward(0)
    maps = [r.map(negate, told)] * 2 if shared else [r.map(negate, told), r.map(scale, told, factor=2.0)]
    for value, message in zip((low, high), maps, strict=True):
        r.deliver(value.port.node, r.product(value, message).parameters)
    return Grammar("broadcast", q.graph(), r.graph(), minimise(loss))


def test_a_map_lives_where_it_is_heard():
    home = told_at_home(two_hearers(shared=False))
    assert (home["negate"], home["scale"]) == ("Low", "High")


def test_a_map_that_several_hear_lives_with_who_tells_it():
    home = told_at_home(two_hearers(shared=True))
    assert home["negate"] == "Loss"
    assert [each.name for each in hearers(two_hearers(shared=True).response)["Loss *"]] == ["Low *", "High *"]
