"""Plays rounds on Ray, and recovers from the death or the stall of a process, with the same numbers."""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeAlias, TypeVar, final

from antiphon.coordinator.checkpoint import Labels, Manifest, load_states, read_manifest
from antiphon.coordinator.executor import Played
from antiphon.coordinator.history import Recovery
from antiphon.coordinator.plan.assignment import Assignment
from antiphon.coordinator.storage import Place
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR
from antiphon.errors import (
    AntiphonError,
    DeadlineError,
    ProtocolError,
    RoundError,
    TransportError,
    WorkerDied,
    WorkerStalled,
)

Result = TypeVar("Result")
Cut: TypeAlias = Place | tuple[Mapping[str, Any], int] | None
"""The state to which a recovery returns: a checkpoint's folder, states with their round, or None for the beginning."""

RECOVERABLE = WorkerDied, DeadlineError, TransportError
"""Errors of machines, processes and networks. Errors of a user's code, and wrong numbers, are none of these."""
MAX_RECOVERIES = 20
"""Default for the largest number of recoveries in an hour."""
REPEATS = 3
"""How often in a row the same worker may fail in the same round. Then the run ends: it would fail again."""
_HOUR = 3600.0
_log = logging.getLogger("antiphon")


@final
class RecoveringExecutor:
    """Plays rounds with a `RayExecutor`. A call that fails is repeated from the last checkpoint.

    After the death or the stall of a worker, a node or the coordinator, all workers return to the last checkpoint and
    play the later rounds again. The caller of `play` gets the same result as without the failure, and sees no round
    twice. If there is no checkpoint, the run returns to its beginning, or to the states that `load` got.
    executor: the executor; it is closed with this object. max_recoveries: largest number of recoveries in an hour.
    A further failure raises its error. With 0, every failure does. Older recoveries count too while the run has not
    come beyond their rounds. If the same worker fails `REPEATS` times in a row in the same round, RoundError is raised.
    """

    def __init__(self, executor: RayExecutor, max_recoveries: int = MAX_RECOVERIES) -> None:
        self.assignment: Assignment = executor.assignment
        self._executor, self._max = executor, max_recoveries
        self._recent: deque[tuple[float, int, str]] = deque()
        self._last, self._times = ("", -1, -1), 0  # worker, round and boundary of the last failure; equal ones in a row
        self._cut: Cut = None
        self._round = 0
        self._saving: _Saving | None = None
        self.recoveries: tuple[Recovery, ...] = ()

    @property
    def workers(self) -> Mapping[str, Any]:  # Any: Ray's actor handles have no common type
        """The actor handle of each worker, by name. A handle stays valid when Ray starts the actor again."""
        return self._executor.workers

    @property
    def round(self) -> int:
        """The next round to play. Raises ProtocolError after an interrupted or failed round."""
        return self._executor.round

    @property
    def ending(self) -> bool:
        """Whether another process has asked the run to end."""
        return self._surely(lambda: self._executor.ending)

    def play(self, rounds: int) -> Played:
        """Play the next rounds. See `Executor.play`."""
        if self._saving is not None and self._saving.done():
            self._settle()
        return self._surely(lambda: self._executor.play(rounds))

    def states(self, learned: bool = False) -> Mapping[str, Any]:
        """Return the states of all players, oracles and clones, by name. learned: see `Executor.states`."""
        return self._surely(lambda: self._executor.states(learned))

    def load(self, states: Mapping[str, Any], round: int) -> None:
        """Load states that `states` returned, by name. round: the next round to play."""
        self._settle()  # else a recovery would go on from this checkpoint, which is older
        self._cut = states, round
        self._executor.load(states, round)

    def save(self, folder: Place, labels: Labels | None = None) -> None:
        """Write a checkpoint into `folder`. From then on, a recovery goes on from this checkpoint."""
        self._settle()
        self._surely(lambda: self._executor.save(folder, labels))
        self._cut = folder

    def begin_save(self, folder: Place, labels: Labels | None = None) -> Future[Manifest]:
        """Copy all states now, and write them while the next rounds play. See `Executor.begin_save`.

        If a process dies meanwhile, the checkpoint is written again after the recovery. Call the future's `result` in
        the thread that plays: it may have to recover the run.
        """
        self._settle()
        written = self._surely(lambda: self._executor.begin_save(folder, labels))
        self._saving = _Saving(self._settle, self._round, lambda: self._executor.begin_save(folder, labels))
        self._saving.written, self._saving.folder = written, folder
        return self._saving

    def close(self) -> None:
        """Stop all actors of this run. May be called twice."""
        self._executor.close()

    def __enter__(self) -> "RecoveringExecutor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _surely(self, action: Callable[[], Result]) -> Result:
        """Return `action()`. After a failure that can be recovered, restore the current round and try again."""
        failures: list[tuple[AntiphonError, float]] = []
        with contextlib.suppress(ProtocolError):  # inside a round, `action` itself raises this error
            self._round = self._executor.round
        while True:
            try:
                if failures:
                    self._recover(failures)
                return action()
            except RECOVERABLE as error:
                self._refuse_repeated(error)
                self._admit(error)
                failures.append((error, time.monotonic()))

    def _refuse_repeated(self, error: AntiphonError) -> None:
        """Raise RoundError if a worker fails `REPEATS` times in a row in one round, with no new round between.

        The round of a worker on another machine may be one too low or too high. The round in which the coordinator died
        is not known, so its failures are not compared.
        """
        (worker, round, boundary), self._last = self._last, (error.worker, error.round, self._round)
        known = error.worker not in ("", COORDINATOR)
        alike = known and (worker, boundary) == (error.worker, self._round) and abs(round - error.round) <= 1
        self._times = self._times + 1 if alike else 1
        if self._times >= REPEATS:
            raise RoundError(
                f"{error.worker!r} failed in round {error.round} {REPEATS} times in a row, with no new round between: "
                f"{_noticed(error).partition('. ')[0]}. Expected the round to succeed when it is played again. Give "
                "this worker more memory or a longer deadline, or correct its native code; then `antiphon resume` goes "
                "on from the last checkpoint.",
                worker=error.worker,
                round=error.round,
            ) from error

    def _admit(self, error: AntiphonError) -> None:
        """Count a recovery that `error` makes necessary. Raises the error instead if there were too many."""
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > _HOUR and self._recent[0][1] < max(error.round, self._round):
            self._recent.popleft()
        if len(self._recent) >= self._max:
            if self._recent:
                names = ", ".join(name for _, _, name in self._recent)
                told = f"max_recoveries = {self._max}: the run has recovered so often within an hour"
                error.add_note(f"{told}, or since it came further ({names})")
            raise error
        self._recent.append((now, error.round, f"{error.worker or 'a connection'} in round {error.round}"))

    def _recover(self, failures: list[tuple[AntiphonError, float]]) -> None:
        """Bring all workers back to the last checkpoint, and from there to the round before the failed call.

        failures: all failures since the last successful recovery, with their times. The list is emptied when they are
        reported: a failure during a recovery is recovered together with the failure before it.
        """
        (error, _), executor, saving = failures[-1], self._executor, self._saving
        executor.regroup(error.worker if isinstance(error, WorkerStalled) else "")
        if saving is not None and saving.written.exception() is None:
            self._conclude(saving)
        if self._cut is not None:
            executor.load(*_read(self._cut))
        restored = executor.round
        while failures:
            self._report(*failures.pop(0), restored)
        if (unsaved := self._saving) is not None:
            executor.play(unsaved.round - restored)
            unsaved.begin_again()
        if executor.round < self._round:
            executor.play(self._round - executor.round)

    def _report(self, error: AntiphonError, began: float, restored: int) -> None:
        """Report the recovery from `error`. began: time of the error. restored: round of the checkpoint."""
        history, seconds = self._executor.history, round(time.monotonic() - began, 3)
        origin, replayed = (error.worker, error.round, _noticed(error)), self._round - restored
        report = Recovery(*origin, restored, replayed, history.generation, seconds)
        self.recoveries = (*self.recoveries, report)
        history.recovered(report)
        _log.warning("recovered: %s", describe(report))

    def _settle(self) -> None:
        """Wait until the last checkpoint is written. If a death has interrupted that, recover, and write it again."""
        while (saving := self._saving) is not None:
            try:
                self._surely(saving.end)
            except (OSError, AntiphonError) as error:
                self._saving = None
                Future.set_exception(saving, error)
                return
            self._conclude(saving)

    def _conclude(self, saving: "_Saving") -> None:
        self._saving, self._cut = None, saving.folder
        saving.set_result(saving.end())


@final
class _Saving(Future[Manifest]):
    """The future of a checkpoint. If a death has interrupted the writing, the checkpoint is written again.

    settle: called before the result is read. round: next round at the time of the checkpoint. again: begins to write
    the checkpoint again. written: the future of the current attempt. folder: the folder of the checkpoint.
    A timeout limits the wait for this attempt, not for a recovery.
    """

    written: Future[Manifest]
    folder: Place

    def __init__(self, settle: Callable[[], None], round: int, again: Callable[[], Future[Manifest]]) -> None:
        super().__init__()
        self._settle, self.round, self._again = settle, round, again

    def begin_again(self) -> None:
        """Begin to write the checkpoint again. `written` gets the error of a folder that cannot be written to."""
        try:
            self.written = self._again()
        except OSError as error:
            self.written = Future()
            self.written.set_exception(error)

    def end(self) -> Manifest:
        """Wait for the writing that is under way, and return its result."""
        return self.written.result()

    def done(self) -> bool:
        """Return whether nothing is being written any more."""
        return super().done() or self.written.done()

    def result(self, timeout: float | None = None) -> Manifest:
        """Return the manifest. Blocks until it is written. Raises TimeoutError if that is not so in time."""
        self._settled(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception of the writing, None if there was none. Blocks until it has ended."""
        self._settled(timeout)
        return super().exception(0)

    def _settled(self, timeout: float | None) -> None:
        if wait([self.written], timeout).done:
            self._settle()


def describe(recovery: Recovery) -> str:
    """Return a recovery as one sentence: who failed, when and how, which rounds are played again, how long it took."""
    who = repr(recovery.worker) if recovery.worker else "a connection"
    again = f"rounds {recovery.restored} to {recovery.restored + recovery.replayed - 1} are played again"
    return (
        f"{who} failed in round {recovery.round} ({recovery.noticed.partition('. ')[0]}); all workers went on from "
        f"round {recovery.restored} in generation {recovery.generation} after {recovery.seconds:.1f} s; "
        f"{again if recovery.replayed else 'no complete round is played again'}"
    )


def _noticed(error: AntiphonError) -> str:
    return str(error).partition(": ")[2] or str(error)


def _read(cut: Place | tuple[Mapping[str, Any], int]) -> tuple[Mapping[str, Any], int]:
    return cut if isinstance(cut, tuple) else (load_states(cut), read_manifest(cut).round)
