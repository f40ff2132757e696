"""Chooses the cause among several failures: the worker that failed by itself, not the workers that waited for it."""

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, final

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from antiphon.coordinator.round_file import last_round
from antiphon.coordinator.versions import not_installed
from antiphon.errors import (
    AntiphonError,
    DeadlineError,
    NonfiniteError,
    RoundError,
    TransportError,
    WorkerDied,
    WorkerStalled,
    unstopped,
)

_GRACE = 2.0
"""Seconds for the other workers to report their own failures, after the first failure."""


@dataclass(frozen=True)
class Standing:
    """The state of a worker at this moment: its round and its current action.

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
    watch: "Progress | None" = None,
) -> dict[str, Any]:
    """Wait for one call per worker, and return the results by worker. Blocks until all have returned, or one fails.

    calls: Ray's reference to each call. handles: actor handle of each worker. what: the action, for the error text.
    deadline: seconds to wait for all results; None waits without limit. hosts: known addresses of the workers' nodes,
    for the error text. watch: checks during the wait whether the workers make progress.
    If several calls fail, raises only the most likely cause: first a dead worker, then an error in a worker's code,
    then a worker that has stalled, then a lost connection. Raises WorkerStalled for a worker that does not answer in
    time.
    """
    names = {call: name for name, call in calls.items()}
    waiting, failures, results = list(names), {}, {}
    started, pace = time.monotonic(), watch.pace if watch else deadline
    while waiting and not failures:
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=pace)
        if not ready:
            late = sorted(names[call] for call in waiting)
            if deadline is not None and time.monotonic() - started > deadline:
                raise _stalled(late[0], f"did not {what} within {deadline:g} s (nor did {len(late) - 1} others)", hosts)
            if watch is not None:
                watch.check(late)
            continue
        if waiting:  # take all finished calls at once: the time of a wait grows with the number of calls
            more, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0)
            ready += more
        _collect(ready, names, results, failures)
    if failures:
        _await_causes(waiting, names, results, failures)
        survivors = set(handles) - set(failures)
        standing = _standing(survivors, handles)
        rounds = {name: last_round(handles[name]) for name in handles}
        cause = cause_of(failures, standing, hosts, survivors - set(standing), rounds)
        if what == "play" and not isinstance(cause, WorkerDied | DeadlineError | TransportError):
            wrong = [*filter(None, _asked(survivors, handles, "first_wrong").values()), cause]
            cause = min(wrong, key=_appeared)
        raise cause
    return results


def _await_causes(
    waiting: list[Any], names: Mapping[Any, str], results: dict[str, Any], failures: dict[str, Exception]
) -> None:
    """Wait up to `_GRACE` seconds for more failures, after a first failure. A death ends the wait: it is the cause."""
    end = time.monotonic() + _GRACE
    while waiting and not any(isinstance(error, RayActorError | WorkerDied) for error in failures.values()):
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=max(0.0, end - time.monotonic()))
        if not ready:
            return
        _collect(ready, names, results, failures)


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
    silent: Collection[str] = (),
    rounds: Mapping[str, int | None] = MappingProxyType({}),
) -> AntiphonError:
    """Return the most likely cause when several workers have failed, as the error to raise.

    failures: the error of each failed worker. standing: what each other worker does. hosts: known addresses of the
    workers' nodes, for the error text. silent: workers that did not answer. rounds: the last round of each worker; None
    where it is unknown.
    """
    worker = min(failures, key=lambda name: (_rank(failures[name]), _appeared(failures[name])))
    error = failures[worker]
    if isinstance(error, RayActorError):
        missing = not_installed(f"worker {worker!r}", error)
        return missing or _died(worker, failures, standing, hosts.get(worker, ""), rounds.get(worker))
    if isinstance(error, WorkerDied):
        error.worker = worker  # a worker that was started again does not know its name
    if isinstance(error, DeadlineError):
        return _blamed(error, standing, hosts, silent, rounds)
    if isinstance(error, AntiphonError):
        return error
    return RoundError(
        f"worker {worker!r} failed: {type(error).__name__}: "
        f"{unstopped(error)}. Expected it to play; see its traceback.",
        worker=worker,
    )


def _blamed(
    error: DeadlineError,
    standing: Mapping[str, Standing],
    hosts: Mapping[str, str],
    silent: Collection[str],
    rounds: Mapping[str, int | None],
) -> AntiphonError:
    """Return an error that names the worker for which the others waited: it does not answer, or still computes.

    error: the error of a worker that reached its deadline. That worker may have waited for a worker that waited, too.
    Returns `error` itself if every worker answers and none computes, for example after a cable was unplugged for a
    short time.
    """
    computing = {name: each for name, each in standing.items() if each.at_work}
    if silent:
        worker, reason = min(silent), "does not answer: it was stopped, or its machine is off, cut off, or too busy"
    elif computing:
        worker = min(computing, key=lambda name: (computing[name].round, name))
        reason = f"was still at «{computing[worker].action}» of round {computing[worker].round}"
    else:
        return error
    known = rounds.get(worker)
    round = known if known is not None else computing[worker].round if worker in computing else error.round
    blamed = _stalled(worker, reason, hosts, round)
    blamed.add_note(f"noticed: {error}")
    for name in sorted(set(silent) - {worker}):
        blamed.add_note(f"worker {name!r}{_on(name, hosts)} does not answer either")
    return blamed


def _stalled(worker: str, reason: str, hosts: Mapping[str, str], round: int = -1) -> WorkerStalled:
    when = f" in round {round}" if round >= 0 else ""
    return WorkerStalled(
        f"worker {worker!r} stalled{when}: worker {worker!r}{_on(worker, hosts)} {reason}. Expected an answer, and "
        "a next step, within the deadline. Look at what it does, or give it a longer deadline; resume the run from its "
        "last checkpoint.",
        worker=worker,
        round=round,
    )


def _on(worker: str, hosts: Mapping[str, str]) -> str:
    return f" on node {hosts[worker]}" if worker in hosts else ""


def _died(
    worker: str,
    failures: Mapping[str, Exception],
    standing: Mapping[str, Standing],
    host: str = "",
    known: int | None = None,
) -> WorkerDied:
    # If the round is not known from the dead worker's file, it is inferred. A worker that waits for a message of the
    # dead worker is in the round that the dead worker did not finish, or in the next round. Others may be elsewhere.
    waiting = [each.round for each in standing.values() if each.awaits == worker]
    neighbours = [error for error in failures.values() if isinstance(error, TransportError)]
    lost = [error.round for error in neighbours if repr(worker) in str(error)]
    others = [each.round for each in standing.values()]
    inferred = max(waiting + lost, default=max(others, default=-1))
    round = inferred if known is None else known
    where = f" on node {host}" if host else ""
    stood = [f"{name!r} stood at «{each.action}» of round {each.round}" for name, each in sorted(standing.items())]
    return WorkerDied(
        f"worker {worker!r} died in round {round}: its process{where} is gone (killed, or out of memory). "
        f"Expected it to play; of the others, {', '.join(stood) or 'none survived'}. "
        "Resume the run from its last checkpoint.",
        worker=worker,
        round=round,
    )


@final
class Progress:
    """Watches workers while they play, and names the worker that stays at one action for too long.

    Without this watch a run would wait forever for a stopped worker that no other worker waits for.
    handles: actor handle of each worker. hosts: known addresses of their nodes. patience: seconds that an action may
    last. `pace`: seconds between two checks.
    """

    def __init__(self, handles: Mapping[str, Any], hosts: Mapping[str, str], patience: float) -> None:
        self._handles, self._hosts, self._patience, self.pace = handles, hosts, patience, patience / 4
        self._last: dict[str, tuple[Standing | None, float]] = {}

    def check(self, names: Collection[str]) -> None:
        """Ask the workers `names` what they do.

        Raises WorkerStalled for one that does not answer for too long, or computes the same action for too long.
        """
        now, standing = time.monotonic(), _standing(set(names), self._handles)
        for name in names:
            at = standing.get(name)
            idle = at is not None and not at.at_work
            if idle or name not in self._last or (at is not None and at != self._last[name][0]):
                self._last[name] = at, now
        late = [name for name in names if now - self._last[name][1] > self._patience]
        if late:
            error = DeadlineError(f"nothing happened at {', '.join(map(repr, late))} for {self._patience:g} s")
            rounds = {name: last_round(self._handles[name]) for name in late}
            still = {name: standing[name] for name in late if name in standing}
            raise _blamed(error, still, self._hosts, set(late) - set(standing), rounds)


def _rank(error: Exception) -> int:
    """Return the rank of an error. The error with the lowest rank is the most likely cause."""
    if isinstance(error, RayActorError | WorkerDied):
        return 0
    # After one death, many connections break. A deadline tells more than a broken connection: a worker was too late.
    return 2 if isinstance(error, DeadlineError) else 3 if isinstance(error, TransportError) else 1


def _appeared(error: Exception) -> tuple[float, int]:
    """Return a key for sorting errors: round and position of a NonfiniteError. All other errors come after these."""
    return (error.round, error.position) if isinstance(error, NonfiniteError) else (math.inf, 0)


def _standing(names: set[str], handles: Mapping[str, Any]) -> dict[str, Standing]:
    return _asked(names, handles, "where")


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
