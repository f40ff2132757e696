"""Measures the figures of a run on one worker: each in the first round of a batch that has its value."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias, final

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from antiphon.agents.shards import is_sharded, whole
from antiphon.coordinator.entries import Play
from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.plan.steps import LocalAction, Slot
from antiphon.coordinator.values import flat
from antiphon.transport.memory import Value

Report: TypeAlias = Mapping[str, Mapping[str, float]]


@final
class Gauges:
    """Measures the figures that an assignment asks for. An action without a figure is played as without this object."""

    def __init__(self, assignment: Assignment) -> None:
        self._figures, self._measured = assignment.figures, dict[int, float]()
        delivery = {each.player: each.name for each in assignment.grammar.response.deliveries}
        self._numbers: dict[tuple[type, str], list[int]] = {}
        for number, figure in enumerate(self._figures):
            key = (steps.Query, figure.node) if figure.node else (steps.Respond, delivery.get(figure.player, ""))
            self._numbers.setdefault(key, []).append(number)

    def around(self, action: LocalAction, play: Play, read: Callable[[Slot], Value]) -> Play:
        """Return `play`, followed by the measurement of the figures of this action.

        read: returns the value of a slot.
        """
        for number in self._numbers.get((type(action), getattr(action, "node", "")), ()):
            assert isinstance(action, steps.Query | steps.Respond)  # the other actions have no node
            slot = action.writes[0] if isinstance(action, steps.Query) else action.reads[0]
            if slot.share is None or slot.share.index == 0:
                play = self._measuring(number, play, partial(read, slot))
        return play

    def added(self, report: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """Return a report with the figures measured since the last call, by player and name. Then forget them."""
        found = [(self._figures[number], value) for number, value in self._measured.items()]
        self._measured.clear()
        return merged(report, *({each.player: {each.name: value}} for each, value in found)) if found else report

    def _measuring(self, number: int, play: Play, value: Callable[[], Value]) -> Play:
        measured, measure = self._measured, _MEASURES[self._figures[number].quantity]

        def measuring(round: int) -> None:
            play(round)
            if number not in measured:
                measured[number] = float(measure(value()))

        return measuring


def merged(*reports: Report) -> dict[str, dict[str, float]]:
    """Return several reports as one. The numbers of one name are put together.

    >>> merged({"Actor": {"lr": 0.1}}, {"Actor": {"gradient_norm": 2.0}, "Nature": {"env_steps": 8}})
    {'Actor': {'lr': 0.1, 'gradient_norm': 2.0}, 'Nature': {'env_steps': 8}}
    """
    found: dict[str, dict[str, float]] = {}
    for report in reports:
        for name, numbers in report.items():
            found.setdefault(name, {}).update(numbers)
    return found


def _norm_of_all(value: Value) -> Tensor:
    """Return the Euclidean norm of a gradient. If it is sharded, all workers with a shard call this together."""
    if isinstance(value, tuple) and is_sharded(value[0]):
        return whole(get_total_norm(value))
    return torch.linalg.vector_norm(flat(value).double())  # of one vector, so that its bits are equal everywhere


def _norm_of_rows(value: Value) -> Tensor:
    rows = flat(value).double()
    return torch.linalg.vector_norm(rows.reshape(len(rows), -1), dim=1).mean()


_MEASURES: Mapping[str, Callable[[Value], Tensor]] = {
    "gradient": _norm_of_all,
    "mean": lambda value: flat(value).double().mean(),
    "norm": _norm_of_rows,
}
