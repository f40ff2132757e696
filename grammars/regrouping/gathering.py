"""Rewrites R after coarse-graining: several products of a group's players become one product of the new player."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from antiphon.errors import GrammarError
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.regrouping.contraction import Contraction
from antiphon.grammars.regrouping.group import Group
from antiphon.grammars.response import (
    PARAMETERS,
    Deliver,
    Product,
    ResponseGraph,
    ResponseNode,
    Sum,
    Tap,
    redirected,
)
from antiphon.grammars.walks import components, ordered
from antiphon.grammars.writing import Message, ProductHandle, ResponseDraft

Toward: TypeAlias = tuple[str, Port]
"""The name of a sweep (see `Sweep`), and a value outside the group about which it sends messages."""


@dataclass
class Sweep:
    """One backward pass of R through one use of a group.

    products: the products at nodes of the use. said: the messages from outside that enter them, by the value of the
    group that they are about.
    """

    products: list[Product] = field(default_factory=list)
    said: dict[Port, list[Port]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the first product, which is used as the name of the sweep."""
        return self.products[0].name


class Sweeps:
    """All sweeps of R through the uses of a group. Raises GrammarError if R does anything else inside the group.

    inside: for each node of Q in the group, the number of its use. toward: for each sweep and each value outside the
    group, the messages that the sweep sends about the value. sweep_of: the sweep of each product.
    """

    def __init__(self, query: QueryGraph, response: ResponseGraph, group: Group, name: str) -> None:
        self.query, self.response, self.group, self.name = query, response, group, name
        self.inside = {node.name: number for number, use in enumerate(group.uses) for node in use.nodes}
        self.products = {n.name: n for n in response.nodes if isinstance(n, Product) and n.of in self.inside}
        for node in response.nodes:
            if node.name not in self.products and not isinstance(node, Sum):
                self._refuse_inner(node)
        self.sweep_of = self._collect()
        self.toward: dict[Toward, list[Port]] = {}
        for name, product in self.products.items():
            for index in product.toward:
                value = query.by_name[product.of].inputs[index]
                if not self.is_inner(Port(name, index)):
                    self.toward.setdefault((self.sweep_of[name].name, value), []).append(Port(name, index))

    def terms(self, port: Port) -> list[Port]:
        """The messages of which this message is the sum; the message itself if it is no sum."""
        node = self.response.by_name[port.node]
        return [term for each in node.inputs for term in self.terms(each)] if isinstance(node, Sum) else [port]

    def is_inner(self, port: Port) -> bool:
        """Whether a message goes from one node of a use to another of the same use."""
        product = self.products.get(port.node)
        if product is None or port.index == PARAMETERS:
            return False
        value = self.query.by_name[product.of].inputs[port.index]
        return self.inside.get(value.node) == self.inside[product.of]

    def has_inner(self, port: Port) -> bool:
        """Whether a message is inner (see `is_inner`), or is a sum that contains an inner message."""
        return any(map(self.is_inner, self.terms(port)))

    def is_own(self, port: Port) -> bool:
        """Whether a message is a sum of parameter gradients from products of the group."""
        return all(map(self._is_share, self.terms(port)))

    def _is_share(self, port: Port) -> bool:
        return port.node in self.products and port.index == PARAMETERS

    @property
    def sweeps(self) -> list[Sweep]:
        """All sweeps, each once, in the order of R."""
        return list({sweep.name: sweep for sweep in self.sweep_of.values()}.values())

    def _refuse_inner(self, node: ResponseNode) -> None:
        terms = [term for port in node.inputs for term in self.terms(port)]
        heard = [] if isinstance(node, Deliver) else [term for term in terms if self._is_share(term)]
        inner = [*filter(self.is_inner, terms), *heard]
        if inner:
            raise GrammarError(
                f"the players {list(self.group.players)} cannot be one player {self.name!r}: response node "
                f"{node.name!r} takes a message of {inner[0].node!r} inside the group; expected the chain rule alone "
                "there, because one player has one product. Leave the players on one side of this edit out of the "
                "group."
            )

    def _collect(self) -> Mapping[str, Sweep]:
        inner = (
            (product.name, term.node)
            for product in self.products.values()
            for port in product.inputs
            for term in self.terms(port)
            if self.is_inner(term)
        )
        root = components(self.products, inner)
        sweeps: dict[str, Sweep] = {}
        for product in self.products.values():
            sweep = sweeps.setdefault(root[product.name], Sweep())
            sweep.products.append(product)
            for index, port in enumerate(product.cotangents):
                if port is not None:
                    outer = [port]
                    if self.has_inner(port):
                        outer = [term for term in self.terms(port) if not self.is_inner(term)]
                    if outer:
                        sweep.said.setdefault(Port(product.of, index), []).extend(outer)
        return {product: sweeps[root[product]] for product in self.products}


def gather(sweeps: Sweeps, contracted: Contraction) -> ResponseGraph:
    """R with one product of the new player for each sweep. The player receives the sum of their parameter gradients."""
    return _Gathering(sweeps, contracted).response()


class _Gathering:
    def __init__(self, sweeps: Sweeps, contracted: Contraction) -> None:
        self.sweeps, self.contracted = sweeps, contracted
        self.nodes = sweeps.response.by_name
        self.draft = ResponseDraft(contracted.query)
        self.told: dict[Port, Message] = {}
        self.handles: dict[str, ProductHandle] = {}

    def response(self) -> ResponseGraph:
        by_name = {sweep.name: sweep for sweep in self.sweeps.sweeps}
        kept = [node.name for node in self.sweeps.response.nodes if self._is_kept(node) or node.name in by_name]
        needs = {name: self._needs(by_name[name] if name in by_name else self.nodes[name]) for name in kept}
        found, stuck = ordered(kept, needs)
        if stuck:
            raise GrammarError(
                f"the players {list(self.sweeps.group.players)} cannot be one player {self.sweeps.name!r}: in R, "
                f"messages to them depend through {stuck[-1]!r} on messages from them; expected all messages to a "
                "player before its product. Leave the players on one side of it out of the group."
            )
        for name in found:
            if name in by_name:
                self._product(by_name[name])
            else:
                self._copy(self.nodes[name])
        return self.draft.graph()

    def _is_kept(self, node: ResponseNode) -> bool:
        if node.name in self.sweeps.products:
            return False
        if isinstance(node, Deliver):
            first = next(each for each in self.sweeps.response.deliveries if each.player in self.sweeps.group.players)
            return node.player not in self.sweeps.group.players or node is first
        port = Port(node.name)
        return not isinstance(node, Sum) or not (self.sweeps.has_inner(port) or self.sweeps.is_own(port))

    def _needs(self, item: Sweep | ResponseNode) -> set[str]:
        if isinstance(item, Deliver) and item.player in self.sweeps.group.players:
            return {sweep.name for sweep in self._told()}
        said = item.said.values() if isinstance(item, Sweep) else [item.inputs]
        ports = (port for each in said for port in each)
        sweep_of = self.sweeps.sweep_of
        return {sweep_of[port.node].name if port.node in sweep_of else port.node for port in ports}

    def _product(self, sweep: Sweep) -> None:
        new = self.contracted.node_of[sweep.products[0].of]
        places = [self._sum(sweep.said.get(port, ()), f"sum at {port!r}") for port in self.contracted.outgoing(new)]
        self.handles[sweep.name] = self.draft.product(new, *places)

    def _copy(self, node: ResponseNode) -> None:
        match node:
            case Tap():
                self.told |= self.draft.adopt(replace(node, port=self.contracted.port(node.port)))
            case Sum():
                total = self._sum(node.inputs, node.name)
                assert total is not None  # a sum has inputs
                self.told[Port(node.name)] = total
            case Deliver() if node.player in self.sweeps.group.players:
                self._deliver()
            case _:
                self.told |= self.draft.adopt(redirected(node, lambda port: self._of(port).port))

    def _told(self) -> list[Sweep]:
        """The sweeps that compute a parameter gradient, in the order in which Q asks the player."""
        told = [sweep for sweep in self.sweeps.sweeps if any(product.parameters for product in sweep.products)]
        return sorted(told, key=lambda sweep: self.sweeps.inside[sweep.products[0].of])

    def _deliver(self) -> None:
        messages = [self.handles[sweep.name].parameters for sweep in self._told()]
        name = self.sweeps.name
        if messages:
            self.draft.deliver(name, self.draft.sum(*messages, name=f"sum for {name}"))

    def _sum(self, ports: Sequence[Port], name: str) -> Message | None:
        """Add messages; None if there are none. All messages of one sweep about one value are one new message."""
        messages: list[Message] = []
        for port in ports:
            group = self._group(port)
            if group and set(group) <= set(ports):
                message = self._toward(port)
                messages += [message] if port == group[0] else []
            else:
                messages.append(self._of(port))
        return self.draft.sum(*messages, name=name) if messages else None

    def _of(self, port: Port) -> Message:
        if len(self._group(port)) > 1:
            value = self.sweeps.query.by_name[self.sweeps.products[port.node].of].inputs[port.index]
            raise GrammarError(
                f"the players {list(self.sweeps.group.players)} cannot be one player {self.sweeps.name!r}: R uses "
                f"{port!r} without the group's other messages about {value!r}; expected their sum, because one player "
                "sends one message about an input. Leave the other players that take this input out of the group."
            )
        return self._toward(port) if port.node in self.sweeps.products else self.told[port]

    def _group(self, port: Port) -> list[Port]:
        """All messages that come from the same sweep, and are about the same outside value, as this message."""
        product = self.sweeps.products.get(port.node)
        if product is None or port.index == PARAMETERS:
            return []
        value = self.sweeps.query.by_name[product.of].inputs[port.index]
        return self.sweeps.toward.get((self.sweeps.sweep_of[port.node].name, value), [])

    def _toward(self, port: Port) -> Message:
        product = self.sweeps.products[port.node]
        handle = self.handles[self.sweeps.sweep_of[port.node].name]
        if port.index == PARAMETERS:
            return handle.parameters
        value = self.sweeps.query.by_name[product.of].inputs[port.index]
        return handle.toward(self.sweeps.group.uses[self.sweeps.inside[product.of]].inputs.index(value))
