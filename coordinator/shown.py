"""Finds the values of a round that need no test of their own, because other tested values show that they are wrong."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias, final

from antiphon.agents.shards import ELEMENTWISE
from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.hosted import Hosted
from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.steps import LocalAction, Part, Slot, share_of_batch
from antiphon.grammars.query import Kind, Port
from antiphon.grammars.response import PARAMETERS, Map, Product, ResponseNode, Sum
from antiphon.grammars.when import When
from antiphon.transport.message import Phase

Reader: TypeAlias = steps.Query | steps.Respond
_SHOWN_BY_PARAMETERS = {*ELEMENTWISE} - {"Rprop"}
"""Optimizers that make a parameter NaN or infinite if its gradient is. Rprop uses the gradient's sign alone."""


@final
class Shown:
    """Says which values that one worker makes need no test, and which values that it reads the worker must test.

    A value needs no test for NaN and infinity if they also make another tested value NaN or infinite:

    - A delivered gradient makes the parameters wrong that are updated with it.
    - An input of a chain (linear layers, ReLU, tanh), of a layer of kickback, or of some losses makes the output NaN if
      the input is NaN.
    - An input of such a chain or layer, or a response to it, makes the gradient of the parameters wrong. The exception
      is a response that a ReLU multiplies by 0, which has no influence.
    - A message of a map such as `negate` makes the result of the map wrong.

    So a worker does not test a value that a player reads, on any worker, to compute such a gradient. If the operator of
    this player is no such chain or layer, the player's worker tests the value instead.
    """

    def __init__(self, assignment: Assignment, hosted: Hosted) -> None:
        self._grammar, self._hosted, self._shared = assignment.grammar, hosted, assignment.on_nonfinite == "fail"
        self._gradients = set(self._delivered(assignment))
        self._readers: dict[Slot, list[Reader]] = {}
        self._learning: set[tuple[str, str, When]] = set()
        for step in assignment.schedule.steps:
            if isinstance(step, steps.Query | steps.Respond):
                for slot in step.reads:
                    self._readers.setdefault(slot, []).append(step)
                self._learning.update(self._learned(step))

    def is_shown(self, action: LocalAction, slot: Slot) -> bool:
        """Return whether this worker need not test a value that one of its actions makes."""
        if slot.port in self._gradients:
            return True
        if isinstance(action, steps.Respond) and not self._is_product_or_shows(action):
            return False
        readers = [each for each in self._readers.get(slot, ()) if each.when == action.when]
        return any(self._teaches(each, slot) or self._is_chain(each, slot) or self._is_map(each) for each in readers)

    def to_test(self, action: LocalAction) -> Sequence[Slot]:
        """Return the values that an action reads and this worker must test, because their makers do not."""
        if not isinstance(action, steps.Query | steps.Respond):
            return ()
        taught = [slot for slot in action.reads if self._teaches(action, slot)]
        return [slot for slot in taught if not self._hosted.gray_box(*self._asked(action)).shows_nan]

    def _teaches(self, reader: Reader, slot: Slot) -> bool:
        """Return whether the reader's player learns from the value in the same round, with a gradient that shows it."""
        here = self._shared or reader.worker == self._hosted.worker
        kind = self._grammar.query.type_of(slot.port).dtype if slot.phase is Phase.QUERY else None
        floats = kind is None or kind.is_floating_point
        node = self._node(reader)
        return here and floats and node is not None and (node, reader.worker, reader.when) in self._learning

    def _is_chain(self, reader: Reader, slot: Slot) -> bool:
        if not isinstance(reader, steps.Query) or reader.worker != self._hosted.worker:
            return False
        node, microbatch = self._asked(reader)
        return node.kind is not Kind.ORACLE and self._hosted.gray_box(node, microbatch).shows_nan

    def _is_map(self, reader: Reader) -> bool:
        here = self._shared or reader.worker == self._hosted.worker
        return here and isinstance(reader, steps.Respond) and _shows(self._grammar.response.by_name[reader.node])

    def _is_product_or_shows(self, action: steps.Respond) -> bool:
        node = self._grammar.response.by_name[action.node]
        return isinstance(node, Product) or _shows(node)

    def _asked(self, reader: Reader):  # noqa: ANN202 - the arguments of `Hosted.gray_box`
        return self._grammar.query.by_name[self._node(reader) or ""], share_of_batch(reader)

    def _node(self, reader: Reader) -> str | None:
        if isinstance(reader, steps.Query):
            return reader.node
        node = self._grammar.response.by_name[reader.node]
        return node.of if isinstance(node, Product) else None

    def _learned(self, step: Reader) -> Iterator[tuple[str, str, When]]:
        node = self._grammar.response.by_name[step.node] if isinstance(step, steps.Respond) else None
        own = isinstance(step, steps.Respond) and step.part is not Part.UPSTREAM
        if own and isinstance(node, Product) and node.parameters and Port(node.name, PARAMETERS) in self._gradients:
            yield node.of, step.worker, step.when

    def _delivered(self, assignment: Assignment) -> Iterator[Port]:
        """Yield the delivered gradients that need no test, and the terms of the sums among them."""
        for each in assignment.grammar.response.deliveries:
            if _is_shown(assignment.agents[each.player]):
                yield each.message
                node = assignment.grammar.response.by_name[each.message.node]
                yield from node.inputs if isinstance(node, Sum) else ()


def _shows(node: ResponseNode) -> bool:
    """Whether NaN or infinity in any message of a map shows in its result."""
    return isinstance(node, Map) and getattr(node.operation.target, "shows_nonfinite", False) is True


def _is_shown(agent: AgentSpecification) -> bool:
    """Return whether NaN or infinity in a gradient makes the parameters wrong, so that the gradient needs no test."""
    return agent.in_place and agent.optimizer in _SHOWN_BY_PARAMETERS and agent.clip_value is None
