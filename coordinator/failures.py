"""Which of several failures was the cause: the one who actually failed, not those who waited for it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from antiphon.coordinator.versions import not_installed
from antiphon.errors import AntiphonError, DeadlineError, RoundError, TransportError, WorkerDied

_GRACE = 2.0
"""Seconds that the others get to tell what happened to them, once somebody failed."""


@dataclass(frozen=True)
class Standing:
    """Where a worker stands: in which round, at which action, and for whose message it waits, if it does.

    at_work: at an action of its own, neither sending nor receiving.
    """

    round: int
    action: str
    awaits: str = ""
    at_work: bool = False


def gather(
    calls: Mapping[str, Any],
    handles: Mapping[str, Any],
    what: str,
    deadline: float | None,
    hosts: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The results of one call per worker, by worker. Blocks until all are there, or one fails.

    hosts: the address of each worker's node, as far as known, to name it.
    Raises the cause: a dead worker before a broken rule before those who waited in vain. DeadlineError names who did
    not answer. Any: Ray's references and handles have no common type, and calls return what they will.
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
        if waiting:  # all that are there at once: a wait takes time for each of those who are waited for
            more, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            ready += more
        _collect(ready, names, results, failures)
    if failures:
        others, _ = ray.wait(waiting, num_returns=len(waiting), timeout=_GRACE) if waiting else ([], [])
        _collect(others, names, results, failures)
        survivors = set(handles) - set(failures)
        standing = _standing(survivors, handles)
        cause = cause_of(failures, standing, hosts)
        if isinstance(cause, DeadlineError):
            _add_who_is_silent(cause, survivors - set(standing), hosts)
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
    """The failure to tell. standing: of the survivors; hosts: as for `gather`."""
    worker = min(failures, key=lambda name: _rank(failures[name]))
    error = failures[worker]
    if isinstance(error, RayActorError):
        missing = not_installed(f"worker {worker!r}", error)
        return missing or _died(worker, failures, standing, hosts.get(worker, ""))
    if isinstance(error, DeadlineError):
        return _with_whom_all_wait_for(error, standing)
    if isinstance(error, AntiphonError):
        return error
    return RoundError(
        f"worker {worker!r} failed: {type(error).__name__}: {error}. Expected it to play; see its traceback.",
        worker=worker,
    )


def _with_whom_all_wait_for(error: DeadlineError, standing: Mapping[str, Standing]) -> DeadlineError:
    """Who waits longest is told first, but waits perhaps for somebody who waits: whoever is at work holds up all."""
    for name, each in sorted(standing.items()):
        if each.at_work:
            error.add_note(f"worker {name!r} was still at «{each.action}» of round {each.round}")
    return error


def _add_who_is_silent(error: DeadlineError, silent: set[str], hosts: Mapping[str, str]) -> None:
    """A machine that is off or cut off ends no connection: whoever waited for it says so, and knows no more."""
    for name in sorted(silent):
        node = f" on node {hosts[name]}" if name in hosts else ""
        error.add_note(f"worker {name!r}{node} does not answer: its machine is off, cut off, or too busy")


def _died(
    worker: str, failures: Mapping[str, Exception], standing: Mapping[str, Standing], host: str = ""
) -> WorkerDied:
    # Whoever waited for its message stood in the round that it did not finish; others may lag, or run ahead of it.
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
    """Lower is nearer to the cause."""
    if isinstance(error, RayActorError):
        return 0
    return 2 if isinstance(error, TransportError | DeadlineError) else 1


def _standing(names: set[str], handles: Mapping[str, Any]) -> dict[str, Standing]:
    calls = {name: handles[name].where.remote() for name in names}
    found = {}
    for name, call in calls.items():
        try:
            found[name] = ray.get(call, timeout=_GRACE)
        except (RayError, GetTimeoutError):
            continue
    return found


def stand(handles: Mapping[str, Any], seconds: float) -> dict[str, dict[str, Any]]:  # Any: handles; JSON
    """Where each worker stands, as JSON, or the `error` of one that is gone or silent; returns within `seconds`."""
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
