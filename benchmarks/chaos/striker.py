"""Causes faults in a run at chosen moments, from a thread of its driver, and logs each of them.

The victim is first stopped: a process by SIGSTOP, a node by cutting its cable. Then the moment is proved. If the round,
the checkpoint or the recovery is still under way, the fault counts: the victim is killed, or stays as it is. Otherwise
the victim goes on, and the fault is tried again. A driver cannot stop itself first: after its death, the history shows
whether anything was completed since the proof (`borne_out`).
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, final

from antiphon.deploy.recovery import RecoveringExecutor
from benchmarks.chaos.faults import CUT, DRIVER, KILL, LOSS, MOMENTS, NODE, ORACLE, PLAYER, STOP, Fault
from benchmarks.chaos.moments import Moments, Place, completed

_PATIENCE, _OWN, _BRIEF = 120.0, 0.5, 5.0
"""Seconds to wait for a recovery; for the victim's own step in a phase; and for a moment in general."""
*_PHASES, _CHECKPOINT, _RECOVERY = MOMENTS


@dataclass(frozen=True)
class _Victim:
    """What a fault strikes. processes: the workers, coordinator and others in it, and where they are."""

    name: str
    processes: dict[str, Place]

    @property
    def place(self) -> Place:
        return next(iter(self.processes.values()))


@final
class Orders:
    """Asks the process that started this driver to do what only that process can do: to disconnect a node, or to wake
    this process. reader, writer: lines of JSON from and to that process.
    """

    def __init__(self, reader: TextIO, writer: TextIO) -> None:
        self._reader, self._writer = reader, writer

    def begin(self, name: str, *arguments: object) -> None:
        """Ask, and do not wait."""
        self._writer.write(json.dumps([name, *arguments]) + "\n")
        self._writer.flush()

    def end(self) -> None:
        """Wait until it is done."""
        self._reader.readline()

    def do(self, name: str, *arguments: object) -> None:
        """Ask, and wait until it is done."""
        self.begin(name, *arguments)
        self.end()


@final
class Striker:
    """Causes `faults` in the run in `folder`, one after the other. log: the file of the log."""

    def __init__(
        self, executor: RecoveringExecutor, faults: list[Fault], folder: Path, log: Path, orders: Orders
    ) -> None:
        self._moments, self._folder = Moments(executor, folder), folder
        self._faults, self._log, self._orders = faults, log, orders
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._strike_all, daemon=True)

    def start(self) -> None:
        """Begin to cause the faults, in a thread."""
        self._thread.start()

    def note(self, **entry: object) -> None:
        """Write an entry to the log, and to the disk."""
        with self._log.open("a") as file:
            file.write(json.dumps({**entry, "time": time.time()}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _strike_all(self) -> None:
        self._until(lambda: self._moments.saved and self._moments.playing)  # a resumed run first loads its checkpoint
        for fault in self._faults:
            start = self._moments.round
            if not self._until(lambda start=start, gap=fault.gap: self._moments.round > start + gap, every=0.005):
                return
            if not self._until(lambda fault=fault: self._attempt(fault)) or fault.ends:
                return

    def _attempt(self, fault: Fault) -> bool:
        """Cause a fault at its moment, and wait until the run has recovered. Returns False if the moment was missed."""
        victim, moments = self._victim(fault), self._moments
        if victim is None:
            self.note(event="missed", fault=fault.number, victim="does not answer")
            return False
        workers = list(moments.workers)
        watched = next((name for name in workers if name in victim.processes), workers[-1])
        if fault.moment == _RECOVERY:
            self._begin_recovery(fault, victim)
        reached = self._until(lambda: moments.at(fault.moment, watched), _OWN)
        if not reached and fault.moment in _PHASES:  # not every worker has steps in both phases
            watched = workers[-1]
        if not reached and not self._until(lambda: moments.at(fault.moment, watched), _BRIEF):
            return False
        if not self._hit(fault, victim):
            self._until(lambda: moments.playing, _BRIEF)
            return False
        return fault.ends or self._await_recovery(fault, victim)

    def _begin_recovery(self, fault: Fault, victim: _Victim) -> None:
        """Kill a worker that is not the victim. With odd gaps, wait until the new channels are being opened."""
        opening = next(name for name in self._moments.workers if name not in victim.processes)
        before = self._moments.generation
        self._moments.kill(opening)
        self.note(event="opening", fault=fault.number, victim=opening)
        if fault.gap % 2:
            self._until(lambda: self._moments.generation > before, _PATIENCE)

    def _hit(self, fault: Fault, victim: _Victim) -> bool:
        """Stop the victim. If the moment lasts, cause the fault; else let the victim go on, and return False."""
        try:
            self._stop(fault, victim)
        except ProcessLookupError:  # it died before
            return False
        self._struck_at, self._generation = time.monotonic(), self._moments.generation
        proof = self._moments.proof(fault.moment, victim.processes)
        if not proof:
            self._let_go(fault, victim)
            self.note(event="missed", fault=fault.number, victim=victim.name)
            return False
        entry = {"event": "struck", "fault": fault.number, "victim": victim.name, "how": fault.how, "proof": proof}
        entry |= {"unfinished": self._moments.unfinished, "completed": self._moments.completed}
        if fault.role == DRIVER and fault.how != KILL:  # it lives on, and the log need not be written before
            self._act(fault, victim)
            self.note(**entry)
        else:
            self.note(**entry)
            self._act(fault, victim)
        return True

    def _stop(self, fault: Fault, victim: _Victim) -> None:
        if fault.role == NODE:
            self._orders.do("disconnect", victim.place)
        elif fault.role != DRIVER:
            os.kill(victim.place[1], signal.SIGSTOP)

    def _let_go(self, fault: Fault, victim: _Victim) -> None:
        if fault.role == NODE:
            self._orders.do("reconnect", victim.place)
        elif fault.role != DRIVER:
            os.kill(victim.place[1], signal.SIGCONT)

    def _act(self, fault: Fault, victim: _Victim) -> None:
        """Do to the stopped victim what the fault says."""
        if fault.role == NODE:
            if fault.how == KILL:
                self._orders.do("remove", victim.place)
            self._orders.do("add")
        elif fault.role == DRIVER and fault.how == STOP:
            self._orders.begin("wake")
            os.kill(os.getpid(), signal.SIGSTOP)
            self._orders.end()
        elif fault.how != STOP:
            os.kill(victim.place[1], signal.Signals[f"SIG{fault.how}"])

    def _await_recovery(self, fault: Fault, victim: _Victim) -> bool:
        """Wait until rounds are played and all that was struck has new processes."""

        def recovered() -> bool:
            if not self._moments.playing or fault.role == DRIVER:
                return self._moments.playing
            now = {name: self._moments.place(name) for name in victim.processes} if self._again else {}
            return bool(now) and all(place and place != victim.processes[name] for name, place in now.items())

        done = self._until(recovered, _PATIENCE, every=0.02)
        if self.over.is_set():
            return True
        if fault.how == CUT:
            self._orders.do("reconnect", victim.place)  # what is left there finds that it was given up
        event = "over" if done else "not recovered"
        seconds = round(time.monotonic() - self._struck_at, 3)
        self.note(event=event, fault=fault.number, outcome="recovered" if self._again else "went on", seconds=seconds)
        return True

    @property
    def _again(self) -> bool:
        """Whether the run has opened new channels since the last fault."""
        return self._moments.generation > self._generation

    def _victim(self, fault: Fault) -> _Victim | None:
        """Choose the victim of a fault. Returns None if it does not answer now."""
        name = fault.role
        if fault.role in (PLAYER, ORACLE, LOSS):
            name = _chosen(self._moments.workers_of(fault.role), fault.choice)
        if fault.role != NODE:
            place = self._moments.place(name)
            return _Victim(name, {name: place}) if place else None
        far = self._moments.far()
        if not far:
            return None
        node = _chosen(sorted({node for node, _ in far.values()}), fault.choice)
        return _Victim(f"node {node[:8]}", {name: place for name, (its, place) in far.items() if its == node})

    def _until(self, condition: Callable[[], Any], seconds: float = 3600.0, every: float = 0.0002) -> bool:
        """Wait until a condition holds. Returns False if it does not within `seconds`, or if the run has ended.

        Any: a value that is true or false.
        """
        end = time.monotonic() + seconds
        while not self.over.is_set() and time.monotonic() < end:
            if condition():
                return True
            time.sleep(every)
        return False


def borne_out(entry: dict[str, Any], folder: Path, moment: str) -> bool:  # Any: JSON
    """Return whether a killed driver's last entry in the log is true: it completed nothing between proof and death.

    folder: the run folder, as the driver left it.
    """
    if moment == _CHECKPOINT:
        return bool(entry["unfinished"]) and not (Path(entry["unfinished"]) / "manifest.json").exists()
    return completed(folder) == entry["completed"]


def _chosen(names: list[str], choice: float) -> str:
    return names[int(choice * len(names))]
