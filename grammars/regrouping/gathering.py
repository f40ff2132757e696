"""Rewrite the Response graph (R) after several players have been merged into one.

Several vector-Jacobian products, of the old players, become one vector-Jacobian product of the new player.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from antiphon.errors import GrammarError
from antiphon.grammars.query import Port, QueryGraph
from antiphon.grammars.regrouping.contraction import Contraction
from antiphon.grammars.regrouping.group import Group
from antiphon.grammars.response import PARAMETERS, Deliver, Product, ResponseGraph, ResponseNode, Sum, Tap, redirected
from antiphon.grammars.walks import components, ordered
from antiphon.grammars.writing import Message, ProductHandle, ResponseDraft

Toward: TypeAlias = tuple[str, Port]
"""(name of a backward pass through the group, port of a value outside the group about which it sends messages)."""


@dataclass
class Sweep:
    """One backward pass of the Response graph (R) through the nodes of one call of a group of players.

    products: the vector-Jacobian products of these nodes. said: the messages from outside the group that these products
    take, by the port of the value whose gradient the messages are.
    """

    products: list[Product] = field(default_factory=list)
    said: dict[Port, list[Port]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of this backward pass: the name of its first vector-Jacobian product."""
        return self.products[0].name


class Sweeps:
    """All backward passes (`Sweep`) of the Response graph (R) through the nodes of a group of players.

    inside: by the name of each node of the Query graph in the group, the number of the group's call.
    toward: by (name of a backward pass, port of a value outside the group), the messages it sends about the value.
    sweep_of: the backward pass of each vector-Jacobian product, by the name of the product.
    Raises GrammarError if R is not the chain rule inside the group.
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
        """Return the summands of a message, if a `Sum` node computes it. Otherwise return the message alone.

        Nested sums are expanded.
        """
        node = self.response.by_name[port.node]
        return [term for each in node.inputs for term in self.terms(each)] if isinstance(node, Sum) else [port]

    def is_inner(self, port: Port) -> bool:
        """Return whether a message is sent between two nodes of the same call of the group."""
        product = self.products.get(port.node)
        if product is None or port.index == PARAMETERS:
            return False
        value = self.query.by_name[product.of].inputs[port.index]
        return self.inside.get(value.node) == self.inside[product.of]

    def has_inner(self, port: Port) -> bool:
        """Return whether a message, or a summand of it, is sent between two nodes of the same call of the group."""
        return any(map(self.is_inner, self.terms(port)))

    def is_own(self, port: Port) -> bool:
        """Return whether every summand of a message is a parameter gradient of a player in the group."""
        return all(map(self._is_share, self.terms(port)))

    def _is_share(self, port: Port) -> bool:
        return port.node in self.products and port.index == PARAMETERS

    @property
    def sweeps(self) -> list[Sweep]:
        """All backward passes through the group, each once, in the order of the Response graph."""
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
    """Return the Response graph (R) after a group of players has been merged into one player.

    Each backward pass through the group becomes one vector-Jacobian product of the new player. The new player receives
    the sum of the parameter gradients that these products compute.
    """
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
        """Return the backward passes that compute a parameter gradient, in the order of the Query graph."""
        told = [sweep for sweep in self.sweeps.sweeps if any(product.parameters for product in sweep.products)]
        return sorted(told, key=lambda sweep: self.sweeps.inside[sweep.products[0].of])

    def _deliver(self) -> None:
        messages = [self.handles[sweep.name].parameters for sweep in self._told()]
        name = self.sweeps.name
        if messages:
            self.draft.deliver(name, self.draft.sum(*messages, name=f"sum for {name}"))

    def _sum(self, ports: Sequence[Port], name: str) -> Message | None:
        """Return the sum of the new messages for the old messages `ports`; None if `ports` is empty.

        Old messages that come from one backward pass through the group, and are about the same value, are one new
        message. It is added once.
        """
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
        """Return the messages that one new message replaces together with the message `port`.

        These messages come from the same backward pass through the group, and are about the same value outside it.
        The result is empty if `port` is no such message.
        """
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
