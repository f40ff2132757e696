"""Draw the Response graph (R): its nodes as marks, its messages as arrows, and cuts.

A cut shows a gradient that the chain rule would send, but R does not.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from antiphon.grammars import maps
from antiphon.grammars.objective import Objective
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.response import PARAMETERS, Deliver, Map, Product, ResponseGraph, ResponseNode, Seed, Sum, Tap
from antiphon.grammars.stochastic import DENSITY, is_stochastic
from antiphon.grammars.types import Order
from antiphon.grammars.unsent import Reason, Unsent, unsent
from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Side
from antiphon.pictures.query_side import node_id
from antiphon.pictures.symbols import clipped, message_symbols, number, shape_of, value_symbol


def response_side(query: QueryGraph, response: ResponseGraph, objective: Objective) -> Side:
    """Return the Response graph (R) as the right part of a picture, with arrows downwards.

    A gradient with several receivers is drawn as one arrow to a broadcast mark, and arrows from there.
    """
    reader = _Reader(query, response)
    for node in response.nodes:
        reader.add(node)
    for each in unsent(query, response, objective):
        reader.add_unsent(each)
    return Side("R", "the responses", False, tuple(reader.marks), tuple(reader.arrows))


def response_id(name: str) -> str:
    """Return the id of the mark of a node of the Response graph (R). name: name of the node."""
    return f"R {name}"


class _Reader:
    """Collects the marks (drawn nodes) and arrows of a Response graph, node by node."""

    def __init__(self, query: QueryGraph, response: ResponseGraph) -> None:
        self.query, self.response, self.types = query, response, response.types(query)
        self.symbols = message_symbols(query, response)
        self.marks: list[Mark] = []
        self.arrows: list[Arrow] = []
        self.products = {node.of: node.name for node in response.nodes if isinstance(node, Product)}
        self.receivers = Counter(port for node in response.nodes for port in dict.fromkeys(node.inputs))

    def add(self, node: ResponseNode) -> None:
        """Add a mark for a node of the Response graph, and arrows for its inputs.

        If the node's output is a gradient with several receivers, also add a broadcast mark.
        """
        self.marks.append(_mark(self.query, self.response, node))
        for place, port in enumerate(node.inputs):
            source = broadcast_id(port) if self._is_broadcast(port) else response_id(port.node)
            self._arrow(source, port, response_id(node.name), place, labelled=not self._is_broadcast(port))
        for port in self.types:
            if port.node == node.name and self._is_broadcast(port):
                tip = f"{self.symbols[port]} is broadcast: {self.receivers[port]} nodes of R receive one message"
                self.marks.append(Mark(broadcast_id(port), MarkKind.BROADCAST, tip=tip))
                self._arrow(response_id(node.name), port, broadcast_id(port), 0)

    def add_unsent(self, unsent: Unsent) -> None:
        """Add a cut (a special arrow) for a gradient that the chain rule sends, but this Response graph does not.

        The arrow ends at a mark that shows the reason. If a message was cut and another product takes it, the arrow
        leads to that product.
        """
        symbol, shape = self._gradient(unsent)
        begin, end = response_id(unsent.product), f"R {unsent.reason} {unsent.product} {unsent.index}"
        taker = self.products.get(unsent.about.node, "")
        if unsent.reason is Reason.CUT and taker and not self._leads(taker, unsent.product):
            end = response_id(taker)
        else:
            tip = f"{_WHY[unsent.reason]}: the chain rule would send {symbol} from here"
            self.marks.append(Mark(end, MarkKind(unsent.reason), tip=tip))
        self.arrows.append(Arrow(f"{begin}.{unsent.index} cut", begin, end, Line.CUT, symbol, shape))

    def _gradient(self, unsent: Unsent) -> tuple[str, str]:
        """Return the symbol and the shape of a gradient that is not sent."""
        if unsent.index == PARAMETERS:
            return "δθ", shape_of(self.query.player_by_name[unsent.about.node].space)
        return f"δ {value_symbol(self.query, unsent.about)}", shape_of(self.query.type_of(unsent.about))

    def _leads(self, above: str, below: str) -> bool:
        return above in self.response.ancestors(below)

    def _is_broadcast(self, port: Port) -> bool:
        return self.receivers[port] > 1 and self.types[port].order is Order.FIRST

    def _arrow(self, source: str, port: Port, target: str, place: int, labelled: bool = True) -> None:
        kind = self.types[port]
        line = Line.FIRST if kind.order is Order.FIRST else Line.ZEROTH
        symbol, shape = (self.symbols[port], shape_of(kind)) if labelled else ("", "")
        self.arrows.append(Arrow(f"{source}.{port.index} > {target}.{place}", source, target, line, symbol, shape))


_WHY = {
    Reason.CUT: "cut",
    Reason.FROZEN: "frozen, the player does not learn from this use",
    Reason.HELD: "held fixed by the objective",
}


def broadcast_id(port: Port) -> str:
    """Return the id of the mark that distributes a message to several receivers. port: port of the message."""
    return f"R broadcast {port.node} {port.index}"


def _mark(query: QueryGraph, response: ResponseGraph, node: ResponseNode) -> Mark:
    match node:
        case Seed():
            sign, tip = number(node.weight), f"seed {node.weight:+g} at the loss {node.loss!r}"
            sign = sign if node.weight < 0 else f"+{sign}"
            asks = node_id(node.loss.node)
            return Mark(response_id(node.name), MarkKind.SEED, sign=sign, what=sign, tip=tip, asks=asks)
        case Product():
            return _product_mark(query, node)
        case Tap():
            symbol = value_symbol(query, node.port)
            tip = f"tap: the value {node.port!r} as Q computed it"
            what, asks = repr(node.port), node_id(node.port.node)
            return Mark(response_id(node.name), MarkKind.TAP, (symbol,), what=what, tip=tip, asks=asks)
        case Sum():
            tip = f"sum {node.name} of {', '.join(map(repr, node.inputs))}"
            return Mark(response_id(node.name), MarkKind.SUM, sign="+", what="sum", tip=tip)
        case Map():
            return _map_mark(node, _bypasses(response, node))
        case Deliver():
            return _player_mark(query, response, node)


def _product_mark(query: QueryGraph, node: Product) -> Mark:
    told = [*map(str, node.toward), *(["parameters"] if node.parameters else [])]
    tip, steps = (
        f"vector-Jacobian product of {node.of}, toward {', '.join(told)}",
        query.steps_of(query.by_name[node.of]),
    )
    kind = MarkKind.PRODUCT if steps is None else MarkKind.THROUGH_TIME
    lines = (clipped(node.of), *(() if steps is None else (f"{steps!r} steps",)))
    if is_stochastic(query.by_name[node.of]) and node.cotangents[DENSITY] is not None:
        lines, tip = (clipped(node.of), "score"), f"{tip}, by the score function"
    if node.truncation is not None:
        kind, lines, tip = (
            MarkKind.TRUNCATED,
            (clipped(node.of), repr(node.truncation)),
            f"{tip}, by {node.truncation!r}",
        )
    what, asks = " ".join((node.of, *lines[1:])), node_id(node.of)
    return Mark(response_id(node.name), kind, lines, "*", what=what, tip=tip, asks=asks)


def _player_mark(query: QueryGraph, response: ResponseGraph, node: Deliver) -> Mark:
    source = response.by_name[node.message.node]
    beside = response_id(source.name) if isinstance(source, Product) and node.message.index == PARAMETERS else ""
    shape = shape_of(query.player_by_name[node.player].space)
    tip = f"player {node.player} receives {'the part of ' if node.message.index == PARAMETERS else ''}{source.name}"
    lines = (clipped(node.player),)
    name = response_id(node.name)
    return Mark(name, MarkKind.PLAYER, lines, beside=beside, what=shape, tip=tip, owner=node.player)


def _bypasses(response: ResponseGraph, node: Map) -> bool:
    """Return whether a function of messages takes a gradient that a product takes too: it leads past that product."""
    products = (each for each in response.nodes if isinstance(each, Product))
    return any(port in each.inputs for each in products for port in node.inputs)


def _map_mark(node: Map, bypasses: bool) -> Mark:
    kind, sign = _sign(node)
    kind = MarkKind.BYPASS if bypasses and kind is MarkKind.MAP else kind
    named = kind in (MarkKind.MAP, MarkKind.BYPASS, MarkKind.MATRIX)
    lines = (clipped(node.name, 22),) if named else ()
    word = kind if kind is MarkKind.BYPASS else MarkKind.MAP
    tip = f"{word} {node.name}: {node.operation!r} of {', '.join(map(repr, node.inputs))}"
    return Mark(response_id(node.name), kind, lines, sign, what=node.operation.description, tip=tip)


def _sign(node: Map) -> tuple[MarkKind, str]:
    keywords = dict(node.operation.keywords)
    factor = keywords.get("factor", 1.0)
    signs: Mapping[Callable[..., object], tuple[MarkKind, str]] = {
        maps.negate: (MarkKind.MINUS, "−"),
        maps.scale: (MarkKind.SCALE, f"× {number(factor)}"),
        maps.over_batch: (MarkKind.SCALE, "÷ n" if factor == 1 else f"× {number(factor)} / n"),
        maps.fixed_matrix: (MarkKind.MATRIX, ""),
    }
    return signs.get(node.operation.target, (MarkKind.MAP, ""))
