"""Make the labels of arrows in a picture: symbols of values and of messages (the essay's delta), and shapes."""

from collections.abc import Mapping, Sequence

import torch

from antiphon.grammars import maps
from antiphon.grammars.factory import Factory
from antiphon.grammars.query import Kind, Port, QueryGraph
from antiphon.grammars.response import PARAMETERS, Map, Product, ResponseGraph, ResponseNode, Seed, Sum, Tap
from antiphon.grammars.types import EdgeType, dtype_name

LONGEST = 26
"""Maximum number of characters of a name in a picture. The tooltip shows the whole name."""


def clipped(text: str, longest: int = LONGEST) -> str:
    """Return a text, shortened to `longest` characters by an ellipsis in its middle.

    >>> clipped("a name that goes on and on and on", 12)
    'a name…nd on'
    """
    if len(text) <= longest:
        return text
    head = (longest - 1 + 1) // 2
    return f"{text[:head]}…{text[-(longest - 1 - head) :]}"


def shape_of(kind: EdgeType) -> str:
    """Return the shape of a value as text, with the dtype if it is not float32.

    >>> shape_of(EdgeType((3, 4))), shape_of(EdgeType((3,), torch.int64))
    ('[3, 4]', 'int64[3]')
    """
    dtype = "" if kind.dtype == torch.float32 else dtype_name(kind.dtype)
    return f"{dtype}[{', '.join(map(repr, kind.shape))}]"


def value_symbol(query: QueryGraph, port: Port) -> str:
    """Return the label of a value of the Query graph: the name of the node that computes it.

    For an oracle with only one question, this is the oracle's name.
    """
    node = query.by_name[port.node]
    name = node.name
    if node.kind is Kind.ORACLE:
        asked = {each.question for each in query.nodes if each.owner == node.owner}
        name = name.replace(f".{node.question}", "", 1) if len(asked) == 1 else name
    return clipped(name if port.index == 0 else f"{name}.{port.index}")


def message_symbols(query: QueryGraph, response: ResponseGraph) -> Mapping[Port, str]:
    """Return the label of each message of the Response graph, by port.

    The label is "δ x" for the gradient of a value x, and for a message that replaces this gradient.
    """
    found: dict[Port, str] = {}
    for node in response.nodes:
        for port, symbol in _symbols(query, node, found).items():
            found[port] = clipped(symbol)
    return found


def _symbols(query: QueryGraph, node: ResponseNode, found: Mapping[Port, str]) -> dict[Port, str]:
    own = Port(node.name)
    match node:
        case Seed():
            return {own: f"δ {value_symbol(query, node.loss)}"}
        case Tap():
            return {own: value_symbol(query, node.port)}
        case Product():
            inputs = query.by_name[node.of].inputs
            told = {Port(node.name, index): f"δ {value_symbol(query, inputs[index])}" for index in node.toward}
            return told | ({Port(node.name, PARAMETERS): "δθ"} if node.parameters else {})
        case Sum():
            symbols = {found[port] for port in node.inputs}
            return {own: symbols.pop() if len(symbols) == 1 else "Σ"}
        case Map():
            return {own: _mapped(node.operation, [found[port] for port in node.inputs], node.name)}
        case _:
            return {}


def _mapped(operation: Factory, inputs: Sequence[str], name: str) -> str:
    target, keywords = operation.target, dict(operation.keywords)
    if target is maps.negate:
        return f"−{inputs[0]}"
    if target is maps.scale and "factor" in keywords:
        return f"{number(keywords['factor'])} {inputs[0]}"
    if target is maps.over_batch:
        return f"{'−' if keywords.get('factor', 1.0) < 0 else ''}{inputs[0]} / n"
    return name


def number(value: float) -> str:
    """Return a number as a short text, with a Unicode minus sign.

    >>> number(-0.5)
    '−0.5'
    """
    return f"{value:g}".replace("-", "−")
