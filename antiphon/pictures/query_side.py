"""Draw the Query graph (Q): players, operators, oracles and losses as marks, and values as arrows between them."""

from antiphon.grammars.derived import Derivative
from antiphon.grammars.factory import Factory
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import CloneDeclaration, Kind, Node, PlayerDeclaration, QueryGraph, QueryPass, cell_of
from antiphon.grammars.stochastic import sampled
from antiphon.grammars.types import Order
from antiphon.oracles.noise import Noise
from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Side
from antiphon.pictures.symbols import clipped, shape_of, value_symbol


def query_side(query: QueryGraph) -> Side:
    """Return the Query graph (Q) as the left part of a picture, with arrows upwards.

    The mark of a player stands beside the mark of the first node that the player computes.
    """
    first = {node.owner: node.name for node in reversed(query.nodes)}
    framed = {each.name: f"frame {each.name}" for each in query.passes} if len(query.passes) > 1 else {}
    marks = [_node_mark(query, node, framed) for node in query.nodes]
    for player in query.players:
        marks.append(_player_mark(player, first[player.name]))
    for clone in query.clones:
        if clone.name in first:
            marks.append(_clone_mark(clone, first[clone.name]))
    frames = tuple((framed[each.name], frame_title(each)) for each in query.passes if framed)
    return Side("Q", "the queries", True, tuple(marks), _arrows(query), frames)


def node_id(name: str) -> str:
    """Return the id of the mark of a node of the Query graph (Q). name: name of the node."""
    return f"Q {name}"


def owner_id(name: str) -> str:
    """Return the id of the mark of a player or a clone in the picture of the Query graph. name: name of the player."""
    return f"Q plays {name}"


def frame_title(query_pass: QueryPass) -> str:
    """Return the title of the frame around a pass of the Query graph: its name, and the rounds in which it runs.

    >>> from antiphon.grammars.cadence import Cadence
    >>> frame_title(QueryPass("act", Cadence(8))), frame_title(QueryPass("learn", Cadence(1, 100)))
    ('act: every 8 rounds', 'learn: every round, from round 100 on')
    """
    every, start = query_pass.cadence.every, query_pass.cadence.start
    said = "every round" if every == 1 else f"every {every} rounds"
    return f"{query_pass.name}: {said}" + (f", from round {start} on" if start else "")


def _node_mark(query: QueryGraph, node: Node, framed: dict[str, str]) -> Mark:
    kind, operator, steps = _kind_of(query, node), _operator(query, node), query.steps_of(node)
    lines = (clipped(node.name), *([clipped(_made_by(operator), 30)] if operator else []))
    lines += () if steps is None else (f"{steps!r} steps",)
    view = "" if node.view is None else repr(node.view)
    if node.view is not None:
        lines = (clipped(node.name if kind is MarkKind.OPERATOR else node.view.of),)
    inputs = ", ".join(map(repr, node.inputs))
    return Mark(
        node_id(node.name),
        kind,
        lines,
        "*" if kind is MarkKind.PRODUCT else "",
        frame=framed.get(node.query_pass, ""),
        what=f"{node.kind} {node.owner} {node.question} {operator and operator.description}{view}",
        tip=f"{node.name}, {view or _spoken(node, kind)}: ({inputs}) to {', '.join(map(repr, node.outputs))}",
        owner=node.owner,
    )


def _spoken(node: Node, kind: MarkKind) -> str:
    return f"operator of {node.kind} {node.owner}" if node.kind in (Kind.PLAYER, Kind.CLONE) else str(kind)


def _kind_of(query: QueryGraph, node: Node) -> MarkKind:
    if isinstance(node.view, Derivative):
        return MarkKind.PRODUCT
    if node.kind is Kind.LOSS:
        return MarkKind.LOSS
    if node.kind is not Kind.ORACLE:
        return MarkKind.OPERATOR if query.steps_of(node) is None else MarkKind.SCAN
    oracle = next(each for each in query.oracles if each.name == node.owner)
    if oracle.declaration.factory.target is Noise and not node.inputs:
        return MarkKind.NOISE
    return MarkKind.BLACK if query.box_of(node) is Box.BLACK else MarkKind.GRAY


def _operator(query: QueryGraph, node: Node) -> Factory | None:
    """Return the factory of what a node of the Query graph computes.

    This is the module of a player or clone, or the function of an operator or loss; None for an oracle's question.
    """
    if node.kind not in (Kind.PLAYER, Kind.CLONE):
        return node.operator
    players = {clone.name: clone.player for clone in query.clones}
    return query.player_by_name[players.get(node.owner, node.owner)].factory


def _made_by(factory: Factory) -> str:
    """Return a factory as text without the name of its Python module, such as "Linear(4, 2)".

    For a scan: its cell. For a stochastic node: "~" and its density.
    """
    if factory.target is sampled:
        return f"~ {_made_by(dict(factory.keywords)['density'])}"
    factory = cell_of(factory) or factory
    module, _, call = repr(factory).partition(":")
    return call if call and "(" not in module else repr(factory)


def _player_mark(player: PlayerDeclaration, operator: str) -> Mark:
    shape = shape_of(player.space)
    count = len(player.parameters)
    tip = f"player {player.name} plays θ {shape}, {count} tensor{'s' if count > 1 else ''}, into {operator}"
    lines = (clipped(player.name), f"θ {shape}")
    beside = node_id(operator)
    return Mark(owner_id(player.name), MarkKind.PLAYER, lines, beside=beside, what=shape, tip=tip, owner=player.name)


def _clone_mark(clone: CloneDeclaration, operator: str) -> Mark:
    follows = "entirely" if clone.soft is None else f"softly, {clone.soft:g} of the way"
    tip = f"clone {clone.name} follows {clone.player} {follows}, {clone.cadence!r}"
    said = "follows" if clone.soft is None else f"{clone.soft:g} →"
    lines = (clipped(clone.name), f"{said} {clipped(clone.player)}")
    beside = node_id(operator)
    return Mark(owner_id(clone.name), MarkKind.CLONE, lines, beside=beside, what=tip, tip=tip, owner=clone.name)


def _arrows(query: QueryGraph) -> tuple[Arrow, ...]:
    arrows: list[Arrow] = []
    for node in query.nodes:
        target = node_id(node.name)
        if node.learned or node.kind is Kind.CLONE:
            source = owner_id(node.owner)
            arrows.append(Arrow(f"{source} > {target}", source, target, Line.PARAMETERS))
        for place, port in enumerate(node.inputs):
            symbol, shape, source = value_symbol(query, port), shape_of(query.type_of(port)), node_id(port.node)
            line = Line.FIRST if query.type_of(port).order is Order.FIRST else Line.ZEROTH
            arrows.append(Arrow(f"{source}.{port.index} > {target}.{place}", source, target, line, symbol, shape))
    return tuple(arrows)
