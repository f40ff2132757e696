"""Checks that a schedule is a valid round before it is played. The schedule may have been edited by hand."""

from collections.abc import Mapping
from itertools import islice

from antiphon.coordinator.plan import steps
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.plan.steps import LocalStep, Query, Slot, Step, Transfer, describe
from antiphon.errors import ProtocolError
from antiphon.transport.message import Phase


def verify(schedule: Schedule) -> None:
    """Raise ProtocolError, with the step and the broken rule, if a schedule breaks a rule of rounds.

    Every value is on a worker before the worker reads or sends it. A transfer is due in the same rounds as its value.
    In each micro-batch, queries come before responses, and all moves come last. No value is made twice, and no edge is
    used twice. A player moves once, or once on each of its replicas. The result of an all-reduce is collected after all
    of its contributions. Clones are updated after all moves. If rounds overlap, the parameters that a query uses exist.
    """
    held: dict[tuple[Slot, str], Step] = {}
    made: set[Slot] = set()
    edges: set[int] = set()
    moved: dict[str, set[str]] = {}
    missing: dict[int, dict[str, None]] = {}
    accumulated: dict[tuple[Slot, str], int] = {}
    workers = dict.fromkeys(schedule.workers)
    group_of = {worker: group for group in schedule.replicas for worker in group}
    previous: dict[int | None, Step] = {}
    _check_ages(schedule)
    # If rounds overlap, the steps of one round are played in the order of their delays.
    for position, step in sorted(enumerate(schedule.steps), key=lambda each: each[1].delay):
        where = f"step {position} of the schedule, «{describe(step)}»,"
        _check_phase(where, previous, step)
        if isinstance(step, Transfer):
            _check_transfer(workers, where, step, held, edges)
            continue
        _check_worker(workers, where, step.worker)
        for slot in step.reads:
            _check_held(where, slot, step.worker, step, held)
        for slot in step.writes:
            _check_made(where, slot, step, made, held)
        if isinstance(step, steps.Move):
            _check_move(group_of, where, step, moved)
        if isinstance(step, steps.Contribute | steps.Collect):
            _check_sum(where, step, missing)
        if isinstance(step, steps.Accumulate):
            _check_term(where, step, accumulated)


def _check_ages(schedule: Schedule) -> None:
    """Raise ProtocolError if a query needs parameters that do not exist yet, because moves are delayed."""
    late = {step.delay for step in schedule.steps if isinstance(step, steps.Move | steps.Install | steps.Follow)}
    for position, step in enumerate(schedule.steps):
        age = step.age if isinstance(step, Query) else None
        if age is not None and step.delay + age < max(late, default=0):
            raise ProtocolError(
                f"step {position} of the schedule, «{describe(step)}», needs parameters that moves {max(late)} rounds "
                "late have not made yet; expected queries with parameters at least as old. Give it a larger age."
            )


def _check_made(where: str, slot: Slot, step: LocalStep, made: set[Slot], held: dict[tuple[Slot, str], Step]) -> None:
    # A Join or Collect makes no new value: other workers may make the same one for themselves.
    again = (slot, step.worker) in held if isinstance(step, steps.Join | steps.Collect) else slot in made
    if again:
        raise ProtocolError(f"{where} makes {slot!r} again; expected each value to be made once in a round.")
    made.add(slot)
    held[slot, step.worker] = step


def _check_move(
    group_of: Mapping[str, tuple[str, ...]], where: str, step: steps.Move, moved: dict[str, set[str]]
) -> None:
    before = moved.setdefault(step.player, set())
    group = group_of.get(step.worker, ())
    if step.worker in before or any(group_of.get(other) is not group for other in islice(before, 1)):
        raise ProtocolError(
            f"{where} is a second move of {step.player!r}; expected one move of each player, on each of its replicas."
        )
    before.add(step.worker)


def _check_sum(where: str, step: steps.Contribute | steps.Collect, missing: dict[int, dict[str, None]]) -> None:
    reduction = step.reduction
    absent = missing.setdefault(reduction.number, dict.fromkeys(reduction.workers))
    if isinstance(step, steps.Contribute):
        if step.worker not in absent:
            raise ProtocolError(
                f"{where} is no term of the sum {reduction.name!r}, or a second one; expected one of each of "
                f"{list(reduction.workers)}. Remove it."
            )
        del absent[step.worker]
    elif absent:
        raise ProtocolError(
            f"{where} collects a sum to which {next(iter(absent))!r} has not contributed by then; expected every term "
            "before. Move it behind them."
        )


def _check_term(where: str, step: steps.Accumulate, accumulated: dict[tuple[Slot, str], int]) -> None:
    term = step.reads[0]
    due = accumulated.get(key := (term.total, step.worker), 0)
    part = term.microbatch
    if part is None or part.index != due or bool(step.writes) != (due == part.of - 1):
        raise ProtocolError(
            f"{where} adds {term!r} where micro-batch {due} is due; expected the terms in the order of the "
            "micro-batches, and the sum after the last. Order the steps so."
        )
    accumulated[key] = due + 1


_MOVES = -1
"""The key of the latest move in the dict `previous` of `_check_phase`. The other keys are indices of micro-batches."""


def _check_phase(where: str, previous: dict[int | None, Step], step: Step) -> None:
    """Raise ProtocolError if `step` stands after a later phase of its micro-batch, or after a clone's update.

    In each micro-batch, queries come before responses. Moves come after both, and updates of clones after all moves.
    previous: the latest step of each micro-batch, and the latest move. The function adds `step` to it.
    """
    for before in [previous[each] for each in (step.microbatch, _MOVES) if each in previous]:
        if step.phase < before.phase:
            raise ProtocolError(
                f"{where} belongs to the {step.phase.name.lower()} phase, but stands behind «{describe(before)}»; "
                "expected queries, then responses, then moves. Order the steps by phase."
            )
        if isinstance(before, steps.Follow) and isinstance(step, steps.Move | steps.Install):
            raise ProtocolError(
                f"{where} stands behind a clone that follows; expected every move before. Swap the two."
            )
    previous[_MOVES if step.phase is Phase.MOVE else step.microbatch] = step


def _check_transfer(
    workers: Mapping[str, None], where: str, step: Transfer, held: dict[tuple[Slot, str], Step], edges: set[int]
) -> None:
    edge = step.edge
    for worker in step.workers:
        _check_worker(workers, where, worker)
    if edge.number in edges or (step.slot, edge.target) in held:
        raise ProtocolError(f"{where} repeats an edge; expected each value to travel to a worker once. Remove one.")
    if edge.source == edge.target:
        raise ProtocolError(f"{where} stays on worker {edge.source!r}; expected two workers. Remove the transfer.")
    _check_held(where, step.slot, edge.source, step, held)
    edges.add(edge.number)
    held[step.slot, edge.target] = step


def _check_worker(workers: Mapping[str, None], where: str, worker: str) -> None:
    if worker not in workers:
        raise ProtocolError(f"{where} is for worker {worker!r}; expected one of {list(workers)}.")


def _check_held(where: str, slot: Slot, worker: str, step: Step, held: dict[tuple[Slot, str], Step]) -> None:
    source = held.get((slot, worker))
    if source is None:
        raise ProtocolError(
            f"{where} needs {slot!r}, which worker {worker!r} does not hold by then; expected an earlier step that "
            "makes it there, or a transfer. Move the step behind it, or add the transfer."
        )
    if step.phase == source.phase and isinstance(step, Transfer) and step.when != source.when:
        raise ProtocolError(
            f"{where} is played {step.when!r}, but its value is made {source.when!r}; expected the same rounds on both "
            "sides. Give the transfer the condition of its value."
        )
