"""Finds the nodes of a grammar that compute each micro-batch separately. The others compute the whole batch at once.

The gradients are those of the whole batch: a loss that is a mean over the batch is the mean of the losses of the
micro-batches, weighted by their sizes, and a player's gradient is the sum of its gradients over the micro-batches.
"""

from collections.abc import Collection, Mapping

from antiphon.coordinator.plan.coupling import coupling, not_mean
from antiphon.coordinator.plan.placement import Placement
from antiphon.coordinator.plan.replicas import applies_to_parts, batch_of, couples, obstacle_of
from antiphon.coordinator.plan.steps import Share, Slot
from antiphon.errors import PlacementError
from antiphon.grammars.derived import ModuleView, viewed
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import homes
from antiphon.grammars.inference import make_module, make_operator
from antiphon.grammars.query import Kind, Node
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseNode, Seed, Tap
from antiphon.grammars.seeds import forked
from antiphon.transport.message import Phase

Nodes = Mapping[Phase, frozenset[str]]
"""The names of the nodes that compute each micro-batch separately: of the Query graph under the key QUERY, and of the
Response graph under RESPONSE.
"""


def in_microbatches(grammar: Grammar, placement: Placement, count: int) -> Nodes:
    """Return the nodes that compute each of `count` micro-batches separately. All other nodes compute the whole batch.

    The results of a round are the same in both cases. In the Query graph the returned nodes are players and clones,
    operators that do not couple the examples, and losses that are means over the batch. Operators and losses are tried
    on random batches. In the Response graph they are the vector-Jacobian products of these nodes, sums of their
    messages, and functions that are linear or treat each example separately. Oracles are queried once for the whole
    batch.
    Raises PlacementError if a learned player has fewer rows in its batch than micro-batches, or if no node of the Query
    graph can be divided.
    """
    if count == 1:
        return {Phase.QUERY: frozenset(), Phase.RESPONSE: frozenset()}
    nodes = {node.name for node in grammar.query.nodes if _is_divisible(grammar, placement, node, count)}
    if not any(grammar.query.by_name[name].kind is Kind.PLAYER for name in nodes):
        raise PlacementError(
            f"grammar {grammar.name!r} was to play {count} micro-batches, but none of its players has a batch that can "
            "be divided; expected one batch, the first dimension of a player's inputs and outputs. Ask for one."
        )
    nodes -= _read_losses(grammar)
    while True:
        responses = _responses(grammar, nodes)
        whole = {each.of for each in _products(grammar) if each.of in nodes and not _is_answered(each, responses)}
        whole &= {name for name in nodes if grammar.query.by_name[name].kind is Kind.LOSS}
        if not whole:
            return {Phase.QUERY: frozenset(nodes), Phase.RESPONSE: frozenset(responses)}
        nodes -= whole


def refuse_coupled(
    grammar: Grammar,
    placement: Placement,
    divided: Mapping[str, tuple[str, ...]],
    separate: Collection[str],
    count: int,
) -> None:
    """Raise PlacementError if a player's batch is divided although an output depends on several examples (batch norm).

    divided: the workers of each node of the Query graph that is divided among replicas. separate: the nodes that
    compute each of `count` micro-batches separately. Players that accept this (`accept_batch_coupling`) are left out.
    The module of each other player is made once, and tried on a random batch.
    """
    query, tried = grammar.query, set[tuple[str, ModuleView | None]]()
    for node in query.nodes:
        replicas, parts = len(divided.get(node.name, ())), count if node.name in separate else 1
        key = node.owner, node.view
        if node.kind is not Kind.PLAYER or node.owner in placement.coupled or key in tried or max(replicas, parts) < 2:
            continue
        tried.add(key)
        asked = [query.type_of(port) for port in node.inputs]
        with forked():
            module = make_module(query.player_by_name[node.owner].factory)
        found = coupling(viewed(node.view, module), asked, query.sizes)
        if found:
            divisions = (replicas, "replicas"), (parts, "micro-batches")
            told = " and ".join(f"{each} {name}" for each, name in divisions if each > 1)
            raise PlacementError(
                f"player {node.owner!r} has {told} and couples the examples of a batch: {found}. Expected each example "
                "to be played by itself, since the player sees a slice of the batch at a time. Leave the batch whole, "
                "or accept that it then learns otherwise (`accept_batch_coupling`)."
            )


def fraction(grammar: Grammar, loss: Node, microbatch: Share | None) -> float:
    """Return the fraction of a loss's batch that a micro-batch contains; 1 if `microbatch` is None (all)."""
    rows = [batch_of(grammar.query.type_of(port), grammar.query.sizes) for port in loss.inputs]
    batch = next((each for each in rows if each), 1)
    first, behind = microbatch.rows(batch) if microbatch else (0, batch)
    return (behind - first) / batch


def read_whole(grammar: Grammar, responses: Collection[str]) -> frozenset[Slot]:
    """Return, as slots, the messages that are made per micro-batch but read by a node that computes the whole batch.

    responses: names of the nodes of the Response graph that compute each micro-batch separately.
    """
    readers = [node for node in grammar.response.nodes if node.name not in responses]
    ports = {port for node in readers for port in node.inputs if port.node in responses}
    return frozenset(Slot(Phase.RESPONSE, port) for port in ports)


def _is_divisible(grammar: Grammar, placement: Placement, node: Node, count: int) -> bool:
    if node.kind is Kind.ORACLE or (node.kind is Kind.OPERATOR and couples(grammar, node)):
        return False
    if node.kind is Kind.LOSS:
        return _is_mean(grammar, node, count)
    replicas = len(placement.replicas_of[placement.host_of[homes(grammar.query)[node.name]]])
    obstacle = obstacle_of(grammar, node, count * replicas)
    learned = any(each.of == node.name and each.parameters for each in _products(grammar))
    if learned and obstacle and not obstacle_of(grammar, node, 1):
        raise PlacementError(
            f"{node.name!r} was to play {count} micro-batches on {replicas} worker(s), but {obstacle}; expected a row "
            "for each micro-batch on each worker. Ask for fewer micro-batches, or enlarge the batch."
        )
    return not obstacle


def _is_mean(grammar: Grammar, loss: Node, count: int) -> bool:
    assert loss.operator is not None  # losses have one
    asked, sizes = [grammar.query.type_of(port) for port in loss.inputs], grammar.query.sizes
    batches = {rows for kind in asked if (rows := batch_of(kind, sizes)) is not None}
    return len(batches) == 1 and min(batches) >= count and not not_mean(make_operator(loss.operator), asked, sizes)


def _read_losses(grammar: Grammar) -> set[str]:
    """Return the names of the losses whose values other nodes read. Such a node needs the loss of the whole batch."""
    read = {port.node for node in grammar.query.nodes for port in node.inputs}
    read |= {node.port.node for node in grammar.response.nodes if isinstance(node, Tap)}
    return {name for name in read if grammar.query.by_name[name].kind is Kind.LOSS}


def _products(grammar: Grammar) -> list[Product]:
    return [node for node in grammar.response.nodes if isinstance(node, Product)]


def _responses(grammar: Grammar, nodes: Collection[str]) -> set[str]:
    """Return the Response graph nodes that compute micro-batches separately, if the Query graph nodes `nodes` do so."""
    found: set[str] = set()
    for node in grammar.response.nodes:
        if _is_separate(grammar, node, nodes, found):
            found.add(node.name)
    return found


def _is_separate(grammar: Grammar, node: ResponseNode, nodes: Collection[str], found: Collection[str]) -> bool:
    match node:
        case Seed(loss=port) | Tap(port=port):
            return port.node in nodes
        case Product(of=of):
            return of in nodes
        case Deliver():
            return False
    if not any(port.node in found for port in node.inputs):
        return False
    types = [grammar.message_types[port] for port in node.inputs]
    for port, kind in zip(node.inputs, types, strict=True):
        is_slice = batch_of(kind, grammar.query.sizes) is not None
        if port.index == PARAMETERS or not (is_slice or port.node in found):
            return False
    return not isinstance(node, Map) or applies_to_parts(grammar, node)


def _is_answered(product: Product, responses: Collection[str]) -> bool:
    return all(port.node in responses for port in product.inputs)
