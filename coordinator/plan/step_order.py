"""Puts the tasks of a round in an order: GPipe, one forward one backward, or zero bubble. Works for any grammar.

An order is found by a simulation: every free worker begins the first task whose inputs are ready. The orders differ in
which task comes first. All but GPIPE limit the number of micro-batches in flight. Without micro-batches, GPIPE is the
order of the nodes in the graphs.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from antiphon.coordinator.plan.steps import Part, Share
from antiphon.transport.message import Phase


class StepOrder(StrEnum):
    """The order of a round's queries and responses. The order does not change the results.

    GPIPE: all queries, then all responses (Huang et al., 2019). ONE_F_ONE_B: a response comes before the next query,
    and a node holds few micro-batches at once (Narayanan et al., 2019). If a worker has several parts of a pipeline
    that are not neighbours, this is the interleaved order (Narayanan et al., 2021). ZERO_BUBBLE: as ONE_F_ONE_B, but
    the backward step of a player is split. The gradient for another worker is computed first, and the gradient of the
    player's parameters when the worker has nothing else to do (the two outputs of the essay's operator `*`, section 2;
    Qi et al., 2024). If autograd differentiates a module of several layers, both are computed in the first step.
    """

    GPIPE = "gpipe"
    ONE_F_ONE_B = "1f1b"
    ZERO_BUBBLE = "zero-bubble"


OrderName: TypeAlias = Literal["gpipe", "1f1b", "zero-bubble"]
"""The values of `StepOrder`, as text."""


@dataclass(frozen=True)
class Task:
    """The computation of one node on one micro-batch.

    node: name of a node of the Query graph (phase QUERY) or of the Response graph (phase RESPONSE). part: which
    gradients are computed. microbatch: None for the whole batch. worker: the worker that computes the task; of several
    replicas, the first. after: positions of the tasks that must come before. cost: estimated time, in any unit. limits:
    for a query, how many micro-batches of its node may have no response yet, and how many may have no complete response
    yet; None for no limit. of: for the last response to a query, the name of the queried node; "" for other tasks.
    delay: how many rounds late the task is computed, if rounds overlap. urgency: of the tasks that a worker could
    do next, that with the smallest urgency comes first; None for the urgency of the task's kind.
    """

    node: str
    phase: Phase
    part: Part
    microbatch: Share | None
    worker: str
    after: tuple[int, ...]
    cost: float = 1.0
    limits: tuple[int, int] | None = None
    of: str = ""
    delay: int = 0
    urgency: int | None = None


def arranged(tasks: Sequence[Task], order: StepOrder) -> list[int]:
    """Return the positions of all tasks in the order in which they begin. A task comes after all tasks in its `after`.

    If all workers are held back only by the tasks' `limits`, one more micro-batch is begun, so that no deadlock is
    possible.
    """
    return _Simulation(tasks, order).run()


class _Simulation:
    """Simulates all workers to find the order of their tasks.

    Each worker does one task at a time; messages take no time.
    """

    def __init__(self, tasks: Sequence[Task], order: StepOrder) -> None:
        self.tasks, self.order = tasks, order
        whole = all(task.microbatch is None for task in tasks)
        one = order is StepOrder.GPIPE and whole  # as if one worker did everything
        self.worker = ["" if one else task.worker for task in tasks]
        self.missing = [len(task.after) for task in tasks]
        self.later: list[list[int]] = [[] for _ in tasks]
        for position, task in enumerate(tasks):
            for before in task.after:
                self.later[before].append(position)
        self.ready: dict[str, list[tuple[tuple[int, int, int], int]]] = defaultdict(list)
        self.unanswered: dict[str, int] = defaultdict(int)
        self.unfinished: dict[str, int] = defaultdict(int)
        self.running: list[tuple[float, int]] = []
        self.busy: set[str] = set()
        self.time, self.begun = 0.0, []

    def run(self) -> list[int]:
        for position, missing in enumerate(self.missing):
            if not missing:
                self._offer(position)
        while len(self.begun) < len(self.tasks):
            for worker in [each for each in self.ready if each not in self.busy]:
                self._begin(worker)
            if not self.running:
                self._begin_blocked()
            self._end_next()
        return self.begun

    def _offer(self, position: int) -> None:
        heapq.heappush(self.ready[self.worker[position]], (self._rank(position), position))

    def _rank(self, position: int) -> tuple[int, int, int]:
        """Return the rank of a task among the tasks of its worker; the smallest comes first."""
        task = self.tasks[position]
        microbatch = task.microbatch.index if task.microbatch else 0
        if self.order is StepOrder.GPIPE:
            return int(task.phase is Phase.RESPONSE), microbatch, position
        urgency = {Phase.QUERY: 1, Phase.RESPONSE: 2 if task.part is Part.OWN else 0}[task.phase]
        return urgency if task.urgency is None else task.urgency, microbatch, position

    def _begin(self, worker: str) -> None:
        """Begin the first ready task of `worker` that its limits allow. Do nothing if there is none."""
        queue, held = self.ready[worker], []
        while queue:
            entry = heapq.heappop(queue)
            if not self._is_held(self.tasks[entry[1]]):
                self._start(entry[1])
                break
            held.append(entry)
        for entry in held:
            heapq.heappush(queue, entry)

    def _is_held(self, task: Task) -> bool:
        if self.order is StepOrder.GPIPE or task.limits is None:
            return False
        unanswered, unfinished = task.limits
        return self.unanswered[task.node] >= unanswered or self.unfinished[task.node] >= unfinished

    def _begin_blocked(self) -> None:
        queue = min((queue for queue in self.ready.values() if queue), key=lambda queue: queue[0])
        self._start(heapq.heappop(queue)[1])

    def _start(self, position: int) -> None:
        task = self.tasks[position]
        self.begun.append(position)
        self.busy.add(self.worker[position])
        if task.phase is Phase.QUERY:
            self.unanswered[task.node] += 1
            self.unfinished[task.node] += 1
        heapq.heappush(self.running, (self.time + task.cost, position))

    def _end_next(self) -> None:
        """Advance the simulated time to the next end of a task, and end all tasks that end at this time."""
        self.time = self.running[0][0]
        while self.running and self.running[0][0] == self.time:
            _, position = heapq.heappop(self.running)
            task = self.tasks[position]
            self.busy.discard(self.worker[position])
            self.unanswered[task.of] -= task.part is not Part.OWN
            self.unfinished[task.of] -= task.part is not Part.UPSTREAM
            for later in self.later[position]:
                self.missing[later] -= 1
                if not self.missing[later]:
                    self._offer(later)
