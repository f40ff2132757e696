"""Chooses the cause among several failures: the worker that failed by itself, not the workers that waited for it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from antiphon.coordinator.versions import not_installed
from antiphon.errors import (
    AntiphonError,
    DeadlineError,
    NonfiniteError,
    RoundError,
    TransportError,
    WorkerDied,
    unstopped,
)

_GRACE = 2.0
"""Seconds for the other workers to report their own failures, after the first failure."""


@dataclass(frozen=True)
class Standing:
    """What a worker does at this moment.

    round: the round that it plays. action: description of its current step. awaits: the worker whose message it waits
    for; empty if it waits for none. at_work: whether the action is computation, not communication.
    """

    round: int
    action: str
    awaits: str = ""
    at_work: bool = False


def gather(
    calls: Mapping[str, Any],  # Any: Ray's references and handles have no common type
    handles: Mapping[str, Any],
    what: str,
    deadline: float | None,
    hosts: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Wait for one call per worker, and return the results by worker. Blocks until all have returned, or one fails.

    calls: Ray's reference to each call. handles: actor handle of each worker. what: the action, for the error text.
    deadline: seconds to wait for the next result; None waits without limit. hosts: known addresses of the workers'
    nodes, for the error text.
    If several calls fail, raises only the most likely cause: first a dead worker, then an error in a worker's code,
    then a deadline or a lost connection. Raises DeadlineError with the name of a worker that does not answer in time.
    """
    names = {call: name for name, call in calls.items()}
    waiting, failures, results = list(names), {}, {}
    while waiting and not failures:
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=deadline)
        if not ready:
            late = sorted(names[call] for call in waiting)
            raise DeadlineError(
                f"worker {late[0]!r} did not {what} within {deadline:g} s (nor did {len(late) - 1} others); expected "
                "an answer in time. Look at what it was doing, or give it a longer deadline."
            )
        if waiting:  # take all finished calls at once: the time of a wait grows with the number of calls
            more, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            ready += more
        _collect(ready, names, results, failures)
    if failures:
        others, _ = ray.wait(waiting, num_returns=len(waiting), timeout=_GRACE) if waiting else ([], [])
        _collect(others, names, results, failures)
        survivors = set(handles) - set(failures)
        standing: dict[str, Standing] = _asked(survivors, handles, "where")
        cause = cause_of(failures, standing, hosts)
        if what == "play" and not isinstance(cause, WorkerDied | DeadlineError | TransportError):
            wrong = [*filter(None, _asked(survivors, handles, "first_wrong").values()), cause]
            cause = min(wrong, key=_appeared)
        if isinstance(cause, DeadlineError):
            _note_unreachable(cause, survivors - set(standing), hosts)
        raise cause
    return results


def _collect(
    ready: list[Any], names: Mapping[Any, str], results: dict[str, Any], failures: dict[str, Exception]
) -> None:
    for call in ready:
        try:
            results[names[call]] = ray.get(call)
        except RayTaskError as error:
            failures[names[call]] = error.cause if isinstance(error.cause, Exception) else error
        except RayError as error:
            failures[names[call]] = error


def cause_of(
    failures: Mapping[str, Exception],
    standing: Mapping[str, Standing],
    hosts: Mapping[str, str] = MappingProxyType({}),
) -> AntiphonError:
    """Return the most likely cause when several workers have failed, as the error to raise.

    failures: the error of each failed worker. standing: what each other worker does. hosts: known addresses of the
    workers' nodes, for the error text.
    """
    worker = min(failures, key=lambda name: (_rank(failures[name]), _appeared(failures[name])))
    error = failures[worker]
    if isinstance(error, RayActorError):
        missing = not_installed(f"worker {worker!r}", error)
        return missing or _died(worker, failures, standing, hosts.get(worker, ""))
    if isinstance(error, DeadlineError):
        _note_working(error, standing)
    if isinstance(error, AntiphonError):
        return error
    return RoundError(
        f"worker {worker!r} failed: {type(error).__name__}: "
        f"{unstopped(error)}. Expected it to play; see its traceback.",
        worker=worker,
    )


def _note_working(error: DeadlineError, standing: Mapping[str, Standing]) -> None:
    """Add a note to `error` for each worker that is still computing.

    The worker that reached its deadline may only have waited for such a worker.
    """
    for name, each in sorted(standing.items()):
        if each.at_work:
            error.add_note(f"worker {name!r} was still at «{each.action}» of round {each.round}")


def _note_unreachable(error: DeadlineError, workers: set[str], hosts: Mapping[str, str]) -> None:
    """Add a note to `error` for each of `workers`, which do not answer.

    A machine without power or network closes no connection, so a worker that waits for this machine gets no error.
    """
    for name in sorted(workers):
        node = f" on node {hosts[name]}" if name in hosts else ""
        error.add_note(f"worker {name!r}{node} does not answer: its machine is off, cut off, or too busy")


def _died(
    worker: str, failures: Mapping[str, Exception], standing: Mapping[str, Standing], host: str = ""
) -> WorkerDied:
    # A worker that waits for the dead worker's message is in the round that the dead worker did not finish. Other
    # workers may be behind or ahead of it.
    waiting = [each.round for each in standing.values() if each.awaits == worker]
    neighbours = [error for error in failures.values() if isinstance(error, TransportError)]
    lost = [error.round for error in neighbours if repr(worker) in str(error)]
    others = [each.round for each in standing.values()]
    round = max(waiting + lost, default=max(others, default=-1))
    where = f" on node {host}" if host else ""
    stood = [f"{name!r} stood at «{each.action}» of round {each.round}" for name, each in sorted(standing.items())]
    return WorkerDied(
        f"worker {worker!r} died in round {round}: its process{where} is gone (killed, or out of memory). "
        f"Expected it to play; of the others, {', '.join(stood) or 'none survived'}. "
        "Start again from the last checkpoint.",
        worker=worker,
        round=round,
    )


def _rank(error: Exception) -> int:
    """Return the rank of an error. The error with the lowest rank is the most likely cause."""
    if isinstance(error, RayActorError):
        return 0
    return 2 if isinstance(error, TransportError | DeadlineError) else 1


def _appeared(error: Exception) -> tuple[float, int]:
    """Return round and position of a number that is NaN or infinite: the first one is the cause. Others come later."""
    return (error.round, error.position) if isinstance(error, NonfiniteError) else (math.inf, 0)


def _asked(names: set[str], handles: Mapping[str, Any], method: str) -> dict[str, Any]:  # Any: what it returns
    """Call a method of the workers `names`. Workers that do not answer in time are left out of the result."""
    calls = {getattr(handles[name], method).remote(): name for name in names}
    ready = ray.wait(list(calls), num_returns=len(calls), timeout=_GRACE)[0] if calls else []
    found: dict[str, Any] = {}
    _collect(ready, calls, found, {})
    return found


def stand(handles: Mapping[str, Any], seconds: float) -> dict[str, dict[str, Any]]:  # Any: handles; JSON
    """Return round, current action and address of each worker, as JSON. Returns within `seconds`.

    A worker that does not answer has an `error` instead.
    """
    calls = {name: (worker.where.remote(), worker.address.remote()) for name, worker in handles.items()}
    every = [call for pair in calls.values() for call in pair]
    ready = set(ray.wait(every, num_returns=len(every), timeout=seconds)[0]) if every else set()
    return {name: _stood(pair) if ready >= set(pair) else {"error": "silent"} for name, pair in calls.items()}


def _stood(calls: tuple[Any, Any]) -> dict[str, Any]:  # Any: Ray's references; JSON
    try:
        standing, (host, process) = ray.get(list(calls))
    except RayError as error:
        return {"error": "gone" if isinstance(error, RayActorError) else type(error).__name__}
    return {**asdict(standing), "host": host, "process": process}
