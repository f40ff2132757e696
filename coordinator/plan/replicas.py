"""Finds the nodes of a grammar that are divided among replicas, and refuses batches that cannot be divided."""

from collections.abc import Mapping

from antiphon.coordinator.plan.coupling import coupling, nonlinear
from antiphon.coordinator.plan.placement import Placement
from antiphon.errors import PlacementError
from antiphon.grammars.derived import viewed
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import homes
from antiphon.grammars.inference import make_operator
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.response import Map, Product
from antiphon.grammars.types import Batch, EdgeType, Sizes


def divided(grammar: Grammar, placement: Placement, microbatches: int = 1) -> Mapping[str, tuple[str, ...]]:
    """Return the nodes of the Query graph that are divided among replicas, and the workers of each such node.

    Each of these workers computes the node on its own slice of the batch. A node of a replicated player is divided if
    its batch has at least one row for each replica. If it cannot be divided, and its parameters receive no gradient,
    the first replica plays it alone. The first replica also plays a parameterless operator alone if the operator
    belongs to the player and couples the examples of a batch.
    microbatches: number of micro-batches of a round; each needs a row for every replica.
    Raises PlacementError for a node that cannot be divided and whose parameters are learned.
    """
    query, found, places = grammar.query, {}, homes(grammar.query)
    learned = {each.of for each in grammar.response.nodes if isinstance(each, Product) and each.parameters}
    for node in query.nodes:
        player = places[node.name]
        group = placement.replicas_of[placement.host_of[player]]
        if len(group) == 1 or (node.kind is Kind.OPERATOR and couples(grammar, node)):
            continue
        obstacle = obstacle_of(grammar, node, len(group) * microbatches)
        if not obstacle:
            found[node.name] = group
        elif node.name in learned:
            raise PlacementError(
                f"player {player!r} has {len(group)} replicas, but {node.name!r} cannot be divided among them: "
                f"{obstacle}. Expected one batch, the first dimension of its inputs and outputs, with a row for each "
                "replica. Give it fewer replicas, or a larger batch."
            )
    return found


def batch_of(kind: EdgeType, sizes: Sizes) -> int | None:
    """Return the number of rows in the batch of a value of this type; None if the type has no batch.

    >>> batch_of(EdgeType((Batch(factor=2), 3)), {"batch": 4}), batch_of(EdgeType((3,)), {})
    (8, None)
    """
    return kind.sized(sizes)[0] if kind.shape and isinstance(kind.shape[0], Batch) else None


def couples(grammar: Grammar, node: Node) -> bool:
    """Return whether a parameterless operator of the Query graph lets the examples of a batch influence each other.

    The operator is tried on a random batch and on its halves.
    """
    assert node.operator is not None  # Q's operators have one
    asked = [grammar.query.type_of(port) for port in node.inputs]
    return bool(coupling(viewed(node.view, make_operator(node.operator)), asked, grammar.query.sizes))


def obstacle_of(grammar: Grammar, node: Node, parts: int) -> str:
    """Describe why the batch of a node of the Query graph cannot be divided into `parts` parts. Return "" if it can."""
    asked = [grammar.query.type_of(port) for port in node.inputs]
    inner = [kind for kind in (*asked, *node.outputs) if any(isinstance(size, Batch) for size in kind.shape[1:])]
    if inner:
        return f"{inner[0]} has a batch that is not its first dimension"
    rows = [batch_of(kind, grammar.query.sizes) for kind in asked]
    played = [batch_of(kind, grammar.query.sizes) for kind in node.outputs]
    if None in played:
        return "it has an output without a batch"
    batches = sorted({size for size in (*rows, *played) if size is not None})
    if len(batches) != 1 or not any(rows):
        return f"its batches differ, {' and '.join(map(str, batches))}" if batches else "it has no input with a batch"
    return "" if batches[0] >= parts else f"its batch has {batches[0]} rows"


def applies_to_parts(grammar: Grammar, node: Map) -> bool:
    """Return whether a function node (`Map`) of the Response graph may be applied to parts of its messages separately.

    The parts are slices of a batch, or terms of a sum. The function may be applied to parts if it is declared linear,
    or if its messages are batches and it treats each example separately.
    Raises PlacementError if a user's function is declared linear, and a trial shows that it is not.
    """
    asked, sizes = [grammar.message_types[port] for port in node.inputs], grammar.query.sizes
    if not node.linear:
        types = [*asked, grammar.message_types[Port(node.name)]]
        batches = all(batch_of(kind, sizes) is not None for kind in types)
        return batches and not coupling(make_operator(node.operation), asked, sizes)
    ours = (getattr(node.operation.target, "__module__", None) or "").startswith("antiphon.")
    if not ours and (found := nonlinear(make_operator(node.operation), asked, sizes)):
        raise PlacementError(
            f"map {node.name!r} declares that it is linear in {node.linear}, and would be applied to parts of its "
            f"messages; expected f(a + b) = f(a) + f(b), each example by itself, but {found}. Remove the declaration."
        )
    return True
