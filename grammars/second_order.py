"""Gradients, and parameters, as values of a Query graph: what second-order rules are written with."""

from collections.abc import Sequence
from typing import Any, final

from antiphon.errors import BlackBoxError, GrammarError, ShapeError
from antiphon.grammars.asking import check_values
from antiphon.grammars.derived import Derivative, GivenParameters, ModuleView, OwnParameters
from antiphon.grammars.differentiable import maker_of
from antiphon.grammars.draft import BrickHandle, PlayerHandle, QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.inference import make_operator
from antiphon.grammars.oracle import Box
from antiphon.grammars.query import Kind, Node, Port
from antiphon.grammars.response import Sum
from antiphon.grammars.sampling import Made
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType, Order


@typed
def gradient(
    q: QueryDraft, of: Value, *about: Value | PlayerHandle | BrickHandle, cotangent: Value | None = None
) -> Any:  # Any: a Value, or a tuple of them
    """Add the gradient of a value to the Query graph, and return it: a value for each of `about`.

    q: the draft of the Query graph. of: the value that is differentiated: a loss, or any other value. about: values and
    players on which it depends. The gradient with respect to a player is one vector over all of its parameters, at all
    uses of the player so far. cotangent: a value of the type of `of`, with which the Jacobian is multiplied; None
    stands for ones, so that the gradient is that of the sum of `of`.
    The chain rule adds a vector-Jacobian product for each node on the way, as in a Response graph. Each is a node of
    the Query graph, computed by the owner of the node that it differentiates. So R may ask for its product, the product
    of a product. Raises BlackBoxError if a black box is on the way, GrammarError if `of` does not depend on `about`.
    """
    values = [each for each in about if isinstance(each, Value)]
    check_values("gradient", q._values, [of, *values, *([] if cotangent is None else [cotangent])], {})
    if not about:
        raise GrammarError(
            f"the gradient of {of!r} was asked for; expected values or players to differentiate by. Name one."
        )
    asked = [each if isinstance(each, Value) else _player(each) for each in about]
    walk = _Walk(q, {each.port for each in values}, {each.name for each in asked if isinstance(each, PlayerHandle)})
    if cotangent is not None and not cotangent.type.composes_with(of.type, q.sizes):
        raise ShapeError(
            f"gradient of {of!r} was given the cotangent {cotangent!r}; expected the shape and dtype of {of!r}. Map it "
            "to that shape."
        )
    walk.through(of, cotangent)
    found = tuple(walk.found(of, each) for each in asked)
    return found[0] if len(found) == 1 else found


@typed
def parameters_of(player: PlayerHandle | BrickHandle) -> Value:
    """Add the parameters of a player to the Query graph as a value, one vector, and return it.

    The player has to be asked before, since that shows its parameters. Raises GrammarError if it was not.
    """
    q, base, space = player.draft, f"{player.name}.parameters", _space(_player(player))
    known = q._values.get(Port(base))
    if known is not None and not q._passes:  # a pass has a node of its own
        return known
    made = _made(OwnParameters(), Kind.PLAYER, q._factories[player.name])
    (found,) = _add(q, Kind.PLAYER, player.name, base, (), (space,), made)
    return found


@typed
def played_at(
    player: PlayerHandle | BrickHandle, parameters: Value, *inputs: Value
) -> Any:  # Any: a Value, or a tuple of them
    """Ask a player at parameters that are a value of the Query graph, and return its outputs.

    parameters: one vector, as `parameters_of` returns it. The player's own parameters do not influence the outputs.
    """
    q, view, who = player.draft, GivenParameters(), f"player {player.name!r} at given parameters"
    check_values(who, q._values, (parameters, *inputs), {})
    space = _space(_player(player))
    if not parameters.type.composes_with(space):
        raise ShapeError(f"{who} takes {space!r}, and was given {parameters!r}. Pass one vector over all parameters.")
    made = _made(view, Kind.PLAYER, q._factories[player.name])
    inferred = q._infer(who, made[1], (parameters, *inputs))
    base = f"{player.name} at"
    played = _add(q, Kind.PLAYER, player.name, base, (parameters, *inputs), inferred.outputs, made)
    return played[0] if inferred.single else played


def _player(handle: PlayerHandle | BrickHandle) -> PlayerHandle:
    if isinstance(handle, PlayerHandle):
        return handle
    raise GrammarError(
        f"brick {handle.name!r} was given as a player; expected one of its players, since each has parameters of its "
        f"own. Pass one of `handle.asked[name]`, with a name of {sorted(handle.asked)}."
    )


def _space(player: PlayerHandle) -> EdgeType:
    declared = player.draft._players[player.name]
    if declared is None:
        raise GrammarError(
            f"the parameters of player {player.name!r} are asked for before the player; expected a use of it before, "
            "which shows their shapes. Call its handle on its inputs first."
        )
    return declared.space


Viewed = tuple[ModuleView, Made]
"""A view, and how to make the function that it computes."""


def _made(view: ModuleView, kind: Kind, factory: Factory) -> Viewed:
    make = maker_of(kind, factory)
    return view, ((lambda given: view.over(make(given))), factory)


def _add(
    q: QueryDraft,
    kind: Kind,
    owner: str,
    base: str,
    inputs: tuple[Value, ...],
    outputs: tuple[EdgeType, ...],
    made: Viewed | tuple[ModuleView, None],
    **more: Any,
) -> tuple[Value, ...]:  # Any: fields of a node
    return q._add(kind, owner, inputs, outputs, made[1], base=base, view=made[0], **more)


@final
class _Walk:
    """A walk backwards through a draft of a Query graph, from one value to others.

    values, players: what the gradients are about. said: the gradients so far about each value. heard: those so far
    about each player.
    """

    def __init__(self, q: QueryDraft, values: set[Port], players: set[str]) -> None:
        self.q, self.values, self.players = q, values, players
        self.nodes, self.leads = list(q._nodes), set[str]()
        self.said: dict[Port, list[Value]] = {}
        self.heard: dict[str, list[Value]] = {}
        for node in self.nodes:
            if node.kind is not Kind.CLONE and (self._learns(node) or any(map(self._leads, node.inputs))):
                self.leads.add(node.name)

    def through(self, of: Value, cotangent: Value | None) -> None:
        """Add the products of all nodes between `of` and what the gradients are about."""
        if cotangent is not None:
            self.said[of.port] = [cotangent]
        for node in reversed(self.nodes):
            start = of.port.index if cotangent is None and node.name == of.port.node else None
            ports = (Port(node.name, index) for index in range(len(node.outputs)))
            told = {port.index: self._sum(self.said[port]) for port in ports if port in self.said}
            if node.name in self.leads and (told or start is not None):
                self._multiply(node, told, start)

    def found(self, of: Value, about: Value | PlayerHandle) -> Value:
        """Return the gradient about a value or a player. Raises GrammarError if `of` does not depend on it."""
        told = self.said.get(about.port) if isinstance(about, Value) else self.heard.get(about.name)
        if not told or (isinstance(about, Value) and about.port == of.port):
            name = repr(about) if isinstance(about, Value) else f"player {about.name!r}"
            raise GrammarError(
                f"the gradient of {of!r} with respect to {name} was asked for, and {of.port!r} does not depend on it; "
                "expected a value or a player above it. No gradient passes a clone. Name another one."
            )
        return self._sum(told[::-1])

    def _learns(self, node: Node) -> bool:
        return node.learned and node.owner in self.players

    def _leads(self, port: Port) -> bool:
        return (port in self.values or port.node in self.leads) and self.q._values[port].type.has_gradient

    def _multiply(self, node: Node, told: dict[int, Value], start: int | None) -> None:
        """Add the product of one node. told: the cotangent of each output. start: the output whose cotangent is 1."""
        toward = tuple(index for index, port in enumerate(node.inputs) if self._leads(port))
        view = Derivative(node.name, tuple(told), start, toward, self._learns(node), node.view)
        inputs = (*told.values(), *(self.q._values[port] for port in node.inputs))
        outputs = [self.q._values[node.inputs[index]].type for index in toward]
        outputs += [_space(PlayerHandle(self.q, node.owner))] if view.parameters else []
        kinds = tuple(each.of_order(Order.FIRST) for each in outputs)
        played = self._asked(node, view, inputs, kinds)
        for index, value in zip(toward, played, strict=False):  # the last may be that of the parameters
            self.said.setdefault(node.inputs[index], []).append(value)
        if view.parameters:
            self.heard.setdefault(node.owner, []).append(played[-1])

    def _asked(
        self, node: Node, view: Derivative, inputs: tuple[Value, ...], outputs: tuple[EdgeType, ...]
    ) -> tuple[Value, ...]:
        base = f"{node.name}'"
        if node.kind is Kind.ORACLE:
            self._refuse_black_box(node)
            return _add(self.q, node.kind, node.owner, base, inputs, outputs, (view, None), question=node.question)
        factory = node.operator or self.q._factories[node.owner]
        made = _made(view, node.kind, factory)
        self.q._infer(f"the gradient of {node.name!r}", made[1], inputs)  # a trial
        if node.kind is Kind.PLAYER:
            return _add(self.q, node.kind, node.owner, base, inputs, outputs, made)
        return _add(self.q, Kind.OPERATOR, base, base, inputs, outputs, made, operator=factory)

    def _refuse_black_box(self, node: Node) -> None:
        oracle = next(each.declaration for each in self.q._oracles if each.name == node.owner)
        question = oracle.question(node.question)
        if question is None or question.box is Box.BLACK:
            raise BlackBoxError(
                f"a gradient that is a value of Q would have to pass {node.question!r} of oracle {node.owner!r}; "
                "expected a gray box, but it is a black box and answers values only. Let a player estimate the "
                "gradient, or ask for the gradient of another value."
            )

    def _sum(self, values: Sequence[Value]) -> Value:
        if len(values) == 1:
            return values[0]
        made = make_operator, Factory.of(Sum.total)
        (found,) = self.q._add(Kind.OPERATOR, _SUM, tuple(values), (values[0].type,), made, operator=made[1])
        return found


_SUM = "sum of gradients"
