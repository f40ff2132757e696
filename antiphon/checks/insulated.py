"""Measure the promise `Insulated`: nothing of the named sources reaches a player. The Response graph alone shows it."""

from collections.abc import Iterable

from antiphon.checks.instance import Instance
from antiphon.checks.measured import Measured
from antiphon.errors import GrammarError
from antiphon.grammars import Insulated, Kind, Port, QueryGraph
from antiphon.grammars.response import Product, ResponseNode, Seed, Tap


def refuse_strange_sources(instance: Instance, promise: Insulated) -> None:
    """Raise GrammarError if an `Insulated` promise names no source or an unknown source: then it always holds."""
    query = instance.grammar.query
    owners = sorted({node.owner for node in query.nodes})
    strange = [each for each in promise.sources if each not in owners]
    if strange or not promise.sources:
        arrived = repr(strange[0]) if strange else "nobody"
        raise GrammarError(
            f"grammar {instance.grammar.name!r} promises insulation from {arrived}; expected sources among {owners}. "
            "Name the owners of the values and derivatives that are not to reach the players."
        )


def insulation(promise: Insulated, instance: Instance, players: Iterable[str]) -> list[Measured]:
    """Count the nodes that leak a value or derivative of the promise's sources into the response to each player."""
    query, response = instance.grammar.query, instance.grammar.response
    wrong = [node.name for node in response.nodes if _sources(query, node, promise.taps) & {*promise.sources}]
    found: list[Measured] = []
    for player in players:
        told = response.ancestors(f"deliver {player}")
        leaks = [name for name in wrong if name in told]
        first, detail = (leaks[0], f"the response depends on {leaks[0]!r}") if leaks else ("", "")
        found.append(Measured(player, len(leaks), 0.0, first, detail))
    return found


def _sources(query: QueryGraph, node: ResponseNode, taps: bool) -> set[str]:
    """Return the players and oracles whose values or derivatives a node of the Response graph uses directly.

    taps: if true, a `Tap` node, which reads a value, does not count.
    """
    match node:
        case Seed(loss=Port(node=name)) | Product(of=name):
            return {query.by_name[name].owner}
        case Tap(port=port) if not taps:
            return _speakers(query, port)
        case _:
            return set()


def _speakers(query: QueryGraph, port: Port) -> set[str]:
    """Return the player or oracle that computes a value. For the output of an operator, add those of its inputs."""
    node = query.by_name[port.node]
    above = node.inputs if node.kind in (Kind.OPERATOR, Kind.LOSS) else ()
    return {node.owner}.union(*(_speakers(query, each) for each in above))
