"""Find the node of the Response graph (R) that causes a wrong response: its inputs are right, its output is wrong."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from antiphon.checks.alone import Alone
from antiphon.checks.recorded import RecordedRound, flat_gradient, flattened
from antiphon.checks.wiring import mismatch
from antiphon.grammars import UNKNOWN, Loss, Objective, Port
from antiphon.grammars.inference import make_operator
from antiphon.grammars.query import Node
from antiphon.grammars.response import PARAMETERS, Map, Product, Seed, Sum, Tap

MAPS = 50
"""Largest number of `Map` nodes that are tested for whether the response would be right without that node."""

LARGE = 400
"""In a Response graph with more nodes than this, that test of `Map` nodes is skipped, because its cost is quadratic."""

Sources = Sequence[tuple[Node, int]]
"""(node of the Query graph, index of its input or PARAMETERS) for each vector-Jacobian product in an expected sum."""


class WrongMessage(NamedTuple):
    """A message with a wrong value, found in the search for the node that makes a response wrong.

    message: the port of the message. user: the node of the Response graph that takes the message as an input.
    expected: the value with which the output of `user` would be right.
    sources: the vector-Jacobian products whose sum should be the message.
    times: `expected` divided by the true gradient. It is 1 until the search passes `Map` nodes that multiply by a
    number, and then 1 divided by all these numbers.
    """

    message: Port
    expected: Tensor
    user: str
    sources: Sources = ()
    times: float = 1.0


def locate(round: RecordedRound, player: str, loss: Loss | None) -> tuple[str, str]:
    """Find the node of the Response graph (R) that makes the response to a player wrong.

    loss: the player's loss; None for the grammar's objective.
    Returns (the name of the node, a description of the error in words).

    The search begins at the response and goes upstream in R as long as messages are wrong. Each message is compared
    with its true value, computed by torch. The true value of an output of a vector-Jacobian product is the product of
    that single node of the Query graph with the true gradient of the loss in the node's outputs. So an error is found
    even if the player is used several times and only one use is wrong.
    """
    delivery = next(each for each in round.composed.grammar.response.deliveries if each.player == player)
    gradient = flat_gradient(round.composed, player, loss)
    asked = [(node, PARAMETERS) for node in round.composed.grammar.query.nodes if node.owner == player]
    walk = _walk(round, loss)
    operator, detail = walk.blame(WrongMessage(delivery.message, gradient, delivery.name, asked))
    # Where R is not the chain rule, some messages have no true value of their own, and the walk passes them.
    large = len(round.composed.grammar.response.nodes) > LARGE
    aside = "" if large or walk.passing(operator) else walk.too_much(delivery.message, gradient)
    return (aside, f"without {aside!r} the response to {player!r} would be right") if aside else (operator, detail)


@functools.lru_cache(maxsize=4)
def _walk(round: RecordedRound, loss: Loss | None) -> "_Walk":
    """Return the search for wrong nodes in a round, for a loss. It is cached, to share results between players."""
    return _Walk(round, loss)


@final
class _Walk:
    """The search through the Response graph for nodes that make responses wrong, for one round and one loss."""

    def __init__(self, round: RecordedRound, loss: Loss | None) -> None:
        self._round, self._loss, self._grammar = round, loss, round.composed.grammar
        self._contribution = functools.cache(self._product_with_truth)
        self._blamed: dict[tuple[Port, str, int], tuple[tuple[str, str], Tensor]] = {}

    def blame(self, step: WrongMessage) -> tuple[str, str]:
        """Find the node of the Response graph that makes a message wrong. Returns (its name, a description)."""
        passed: list[WrongMessage] = []
        while True:
            passed.append(step)
            known = self._blamed.get(_key(step))
            found = known[0] if known else self._here(step)
            if not isinstance(found, WrongMessage):
                self._blamed.update((_key(each), (found, each.expected)) for each in passed)
                return found
            step = found

    def _here(self, step: WrongMessage) -> tuple[str, str] | WrongMessage:
        """Do one step of the search for the node that makes a message wrong.

        Returns (name of the node, description) if the node is found. Otherwise returns the next wrong message upstream.
        """
        message, expected, user, sources, times = step
        node, told = self._grammar.response.by_name[message.node], self._round.messages[message]
        relation, meant = _compare(told, expected), self._meaning(message)
        if strange := mismatch(self._grammar, message.node) or mismatch(self._grammar, user):
            return strange
        if meant is not None and not _same(times * meant, expected):  # even its true value would be wrong for this user
            if [(each.name, index) for each, index in sources] == [(getattr(node, "of", ""), message.index)]:
                return node.name, f"computed alone, the output of {node.name!r} is {relation}"
            return user, f"the input of {user!r} is {relation}{self._lacking(user, sources)}"
        if aside := self._repairing(message, expected):
            return self._either(aside, step)
        further = self._wrong_input(step) or self._rest_of_a_sum(message, expected) or self._before(step)
        if further:
            return further
        right = f"the input of {node.name!r} is right, and " if node.inputs else ""
        return node.name, f"{right}its output is {relation}"

    def _either(self, aside: Map, step: WrongMessage) -> tuple[str, str]:
        """Decide whether the `Map` node `aside` is wrong, or a node upstream of it. Returns (its name, a description).

        The message of `step` would be right without `aside`. But if `aside` multiplies by a number, this may be
        intended, and a node upstream is then wrong by the same factor. That node is returned if more wrong responses
        depend on it than on `aside`. Otherwise `aside` is returned, since it is nearer to the response.
        """
        changed, before = self._round.messages[Port(aside.name)], self._round.messages[aside.inputs[0]]
        itself = (
            aside.name,
            f"the input of {aside.name!r} is right, and its output is {_compare(changed, before)}",
        )
        factor = _multiple(changed, before)
        if not factor or _same(changed, before):
            return itself
        # The message is right without the map. If the map belongs there, its input is `factor` times the right one.
        other = self.blame(WrongMessage(aside.inputs[0], before / factor, aside.name, (), step.times / factor))
        return other if self._wrongly_told(other[0]) > self._wrongly_told(aside.name) else itself

    def _wrongly_told(self, name: str) -> int:
        """Return the number of wrong responses that depend on a node; -1 if a right response depends on it too."""
        response = self._grammar.response
        wrong = [each for player, each in self._wrong.items() if name in response.ancestors(f"deliver {player}")]
        return sum(wrong) if all(wrong) else -1

    @functools.cached_property
    def _wrong(self) -> dict[str, bool]:
        """For each player with a known loss: whether its response is wrong (differs from the gradient of the loss)."""
        composed = self._round.composed
        losses = {player: self._grammar.loss_of(player) for player in self._round.responses}
        known = [player for player, loss in losses.items() if loss != UNKNOWN and composed.plays(loss)]
        truth = {player: flat_gradient(composed, player, losses[player]) for player in known}
        return {player: not _same(self._round.responses[player], truth[player]) for player in known}

    def too_much(self, message: Port, expected: Tensor) -> str:
        """Return the name of the first `Map` node whose removal would make the message right; "" if there is none."""
        response = self._grammar.response
        above = response.ancestors(message.node)
        maps = [each for node in response.nodes if node.name in above and (each := self.passing(node.name))]
        without = (each for each in maps[:MAPS] if _same(self._retold(message, each), expected))
        return next((each.name for each in without), "")

    def passing(self, name: str) -> Map | None:
        """Return the node `name` if it is a `Map` with one input whose output has the shape of the input; else None."""
        match self._grammar.response.by_name[name]:
            case Map(inputs=(before,)) as node if Port(name) in self._round.messages:
                told = self._round.messages
                return node if told[before].shape == told[Port(name)].shape else None
            case _:
                return None

    def _retold(self, message: Port, without: Map) -> Tensor:
        """Return the value that a message would have if the `Map` node `without` returned its input unchanged."""
        response = self._grammar.response

        @functools.cache
        def retold(port: Port) -> Tensor:
            if port.node == without.name:
                return self._round.messages[without.inputs[0]]
            if without.name not in response.ancestors(port.node):
                return self._round.messages[port]
            return self._told_with(port, {each: retold(each) for each in self._inputs(port)})

        return retold(message)

    def _repairing(self, message: Port, expected: Tensor) -> Map | None:
        """Return a `Map` node whose removal would make the message right; None if there is none.

        Only `Map` nodes directly before the node that computes the message are tried.
        """
        for each in self._inputs(message):
            if aside := self.passing(each.node):
                before = self._round.messages[aside.inputs[0]]
                if _same(self._told_with(message, {each: before}), expected):
                    return aside
        return None

    def _wrong_input(self, step: WrongMessage) -> WrongMessage | None:
        """Return the first wrong input of the node that computes the message of `step`.

        Returns None if no input is known to be wrong, or if the message would still be wrong with right inputs.
        """
        node, meant = self._grammar.response.by_name[step.message.node], self._meant_inputs(step.message, step.times)
        wrong = [each for each in meant if not _same(self._round.messages[each], meant[each])]
        if not wrong or not _same(self._told_with(step.message, meant), step.expected):
            return None
        sources: Sources = []
        if isinstance(node, Product):
            sources = self._takers(Port(node.of, node.cotangents.index(wrong[0])))
        return WrongMessage(wrong[0], meant[wrong[0]], node.name, sources, step.times)

    def _before(self, step: WrongMessage) -> WrongMessage | None:
        """If a `Map` that multiplies by a number computes the message of `step`, return the input of that `Map`.

        The factor may be intended, so the search continues with the input. Returns None for another node, or if the
        input is right.
        """
        node = self.passing(step.message.node)
        if node is None:
            return None
        (taken,) = node.inputs
        factor = _multiple(self._told_with(step.message, {taken: step.expected}), step.expected)
        meant = self._meaning(taken, through=True)
        if not factor or (meant is not None and _same(self._round.messages[taken], step.times * meant)):
            return None
        return WrongMessage(taken, step.expected / factor, node.name, (), step.times / factor)

    def _rest_of_a_sum(self, message: Port, expected: Tensor) -> WrongMessage | None:
        """If a `Sum` node computes the message, return the summand whose true value is unknown.

        The expected value of the summand is `expected` minus the other summands. Returns None for another node, or if
        the true values of no summand or of several summands are unknown.
        """
        node, parts = self._grammar.response.by_name[message.node], self._inputs(message)
        if not isinstance(node, Sum) or len(parts) < 2:
            return None
        doubtful = [each for each in parts if self._meaning(each) is None]
        if len(doubtful) != 1:
            return None
        others = Sum.total(*(self._round.messages[each] for each in parts if each != doubtful[0]))
        return WrongMessage(doubtful[0], expected - others, node.name)

    def _inputs(self, message: Port) -> list[Port]:
        node = self._grammar.response.by_name[message.node]
        return [each for each in node.inputs if each in self._round.messages]

    def _meant_inputs(self, message: Port, times: float) -> dict[Port, Tensor]:
        """Return the true values, multiplied by `times`, of the inputs of the node that computes a message.

        Inputs whose true value is unknown are left out.
        """
        node, told = self._grammar.response.by_name[message.node], self._inputs(message)
        if isinstance(node, Product):
            ports = {each: Port(node.of, index) for index, each in enumerate(node.cotangents) if each in told}
            known = {each: self._totals[port] for each, port in ports.items() if self._is_known(port)}
        else:
            known = {each: meant for each in told if (meant := self._meaning(each, through=True)) is not None}
        return {each: _scaled(meant, times) for each, meant in known.items()}

    def _told_with(self, message: Port, other: Mapping[Port, Tensor]) -> Tensor:
        """Compute a message again, with some inputs of its node replaced by the values in `other`."""
        node, told = self._grammar.response.by_name[message.node], {**self._round.messages, **other}
        if isinstance(node, Product):
            cotangents = [told.get(each) if each is not None else None for each in node.cotangents]
            of = self._grammar.query.by_name[node.of]
            return _part(of, message.index, Alone(self._round, of).product(cotangents))
        messages = [told[each] for each in self._inputs(message)]
        if isinstance(node, Sum):
            return Sum.total(*messages)
        assert isinstance(node, Map)  # no other kind of node makes a message of messages
        return make_operator(node.operation)(*messages)

    def _meaning(self, message: Port, through: bool = False) -> Tensor | None:
        """Return the value that a message would have by the chain rule, computed by torch.

        Returns None if the chain rule does not define a value, as for the output of a `Map`.
        through: if true, a `Map` that keeps the shape counts as the identity, and a value that a `Tap` reads from the
        Query graph counts as right.
        """
        node = self._grammar.response.by_name[message.node]
        match node:
            case Seed(loss=port):
                return self._totals[port] if self._is_known(port) else None
            case Product(of=of):
                if not any(self._is_known(Port(of, index)) for index in range(len(node.cotangents))):
                    return None
                asked = self._grammar.query.by_name[of]
                return _part(asked, message.index, self._contribution(asked))
            case Tap() if through:
                return self._round.messages[message]
            case Sum():
                parts = [self._meaning(each, through) for each in self._inputs(message)]
                known = [each for each in parts if each is not None]
                return Sum.total(*known) if known and len(known) == len(parts) else None
            case Map(inputs=(single,)) if through:
                meant = self._meaning(single, through)
                return meant if meant is not None and meant.shape == self._round.messages[message].shape else None
            case _:
                return None

    @functools.cached_property
    def _totals(self) -> dict[Port, Tensor]:
        """The gradient of the loss with respect to every value of the Query graph that depends on a parameter."""
        return self._round.composed.cotangents(self._round.composed.values, self._loss)

    def _product_with_truth(self, node: Node) -> list[Tensor]:
        """Return the gradient of the loss through one node of the Query graph: one tensor per input and parameter.

        It is the vector-Jacobian product of the node with the true gradient in the node's outputs.
        """
        cotangents = [self._totals.get(Port(node.name, index)) for index in range(len(node.outputs))]
        return Alone(self._round, node).product(cotangents)

    def _is_known(self, port: Port) -> bool:
        """Return whether the gradient of the player's loss with respect to a value of the Query graph is known.

        It is unknown if the value depends on no parameter, or is a loss on which the player's loss does not depend.
        """
        if port not in self._totals:
            return False
        return port not in self._grammar.objective.losses or bool(self._totals[port].any())

    def _takers(self, port: Port) -> Sources:
        terms = self._loss.terms if isinstance(self._loss, Objective) else ()
        if terms and all(port in term.held for term in terms):
            return []  # nothing may be sent about a value that is held fixed
        nodes = self._grammar.query.nodes
        return [(node, index) for node in nodes for index, each in enumerate(node.inputs) if each == port]

    def _lacking(self, user: str, sources: Sources) -> str:
        """Describe the first vector-Jacobian product that is missing in a sum.

        user: the node that takes the sum. sources: the products that the sum should contain. Returns "" if none is
        missing.
        """
        heard = self._grammar.response.ancestors(user)
        nodes = [each for each in self._grammar.response.nodes if each.name in heard]
        used = {port for each in nodes for port in each.inputs}
        products = {each.name: each.of for each in nodes if isinstance(each, Product)}
        told = {(products[port.node], port.index) for port in used if port.node in products}
        missing = [node.name for node, index in sources if (node.name, index) not in told and self._adds(node, index)]
        return f": it lacks the part of {missing[0]!r}" if missing else ""

    def _adds(self, node: Node, index: int) -> bool:
        if Port(node.name) not in self._totals:
            return False
        found = self._contribution(node)
        parts = found[len(node.inputs) :] if index == PARAMETERS else [found[index]]
        return any(bool(each.any()) for each in parts)


def _multiple(told: Tensor, of: Tensor) -> float:
    """Return the number f with told = f * of; 0 if there is no such number."""
    square = float(of.abs().square().sum())
    if told.shape != of.shape or not square or not bool(told.isfinite().all()):
        return 0.0
    factor = float((told * of.conj()).sum().real / square)
    return factor if _same(told, factor * of) else 0.0


def _scaled(message: Tensor, times: float) -> Tensor:
    return message if times == 1 else times * message  # the same object: `_key` uses its identity


def _key(step: WrongMessage) -> tuple[Port, str, int]:
    # By identity of the expected tensor; `_blamed` keeps the tensor alive, so that its id is not reused.
    return step.message, step.user, id(step.expected)


def _part(node: Node, index: int, found: Sequence[Tensor]) -> Tensor:
    """Return the gradient of the input `index` of a node; if `index` is PARAMETERS, of all parameters as one vector.

    found: the gradients of the node's inputs, then those of its parameters.
    """
    if index != PARAMETERS:
        return found[index]
    return flattened(found[len(node.inputs) :])


def _compare(told: Tensor, expected: Tensor) -> str:
    scale = float(expected.abs().max())
    if not float(told.abs().max()):
        return "zero, where a gradient is expected"
    if not scale:
        return "not zero, where no gradient is expected"
    if _same(told, -expected):
        return "of the opposite sign"
    factor = _multiple(told, expected)
    return f"{factor:.4g} times the gradient" if factor else "in another direction than the gradient"


def _same(one: Tensor, two: Tensor | None) -> bool:
    if two is None or one.shape != two.shape:
        return False
    half = math.sqrt(torch.finfo(one.dtype).eps)  # tolerance of half of the digits
    return float((one - two).abs().max()) <= half * max(float(two.abs().max()), 1e-300)
