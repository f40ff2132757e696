"""Check that maps of R are fixed functions of their messages: made anew, they return the same."""

import torch

from antiphon.checks.recorded import RecordedRound
from antiphon.coordinator.streams import is_of_antiphon
from antiphon.grammars import Port
from antiphon.grammars.inference import make_operator
from antiphon.grammars.response import Map
from antiphon.grammars.seeds import at_round, begin_streams, forked, stream


def stateful_map(round: RecordedRound, player: str) -> str:
    """The first map above a player's delivery that returns something else when it is made anew and called again.

    The second call gets the same messages and random draws, so a difference means that the map keeps a state between
    rounds. Returns the name of the map, "" if there is none.
    """
    response = round.composed.grammar.response
    heard = response.ancestors(f"deliver {player}")
    maps = (node for node in response.nodes if isinstance(node, Map) and node.name in heard)
    own = (node for node in maps if not is_of_antiphon(node.operation))
    return next((node.name for node in own if not _tells_the_same(round, node)), "")


def _tells_the_same(round: RecordedRound, node: Map) -> bool:
    told = round.messages.get(Port(node.name))
    if told is None:
        return True
    with forked(), torch.no_grad():
        begin_streams(at_round(stream(round.seed, "response", node.name), round.number))  # the same draws as in a run
        again = make_operator(node.operation)(*(round.messages[port] for port in node.inputs))
    return torch.allclose(told, again, rtol=1e-6, atol=0.0, equal_nan=True)
