"""Sends signals to the processes of a run at chosen moments, from a thread of its driver, and logs each moment.

The process is first stopped (SIGSTOP), and then the moment is checked. If the round, the checkpoint or the recovery is
still under way, the fault counts, and the process is killed or stays stopped. Otherwise the process continues, and the
fault is tried again.
"""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, final

import ray
from ray._private import worker as ray_worker
from ray.exceptions import RayError

from antiphon.coordinator.failures import Standing
from antiphon.coordinator.round_file import last_round
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR as COORDINATOR_NAME
from antiphon.deploy.recovery import RecoveringExecutor
from benchmarks.chaos.faults import COORDINATOR, DRIVER, ENDS, RAYLET, WORKER, Fault

_PATIENCE = 120.0
_RESPONSE = ("response", "move", "send R", "receive R")


@final
class Striker:
    """Causes `faults` in one run, one after the other. Each fault is logged before the last signal is sent.

    checkpoints: folder in which the run writes its checkpoints. log: the file of the log.
    """

    def __init__(self, executor: RecoveringExecutor, faults: list[Fault], checkpoints: Path, log: Path) -> None:
        self._executor, self._faults, self._checkpoints, self._log = executor, faults, checkpoints, log
        self._plain: RayExecutor = executor._executor  # the public interface gives no access to the processes
        self.over, self._standing, self._struck = threading.Event(), "", 0
        self._thread = threading.Thread(target=self._strike_all, daemon=True)

    def start(self) -> None:
        """Begin to cause the faults, in a thread."""
        self._thread.start()

    def _strike_all(self) -> None:
        node: Any = ray_worker._global_node  # Any: None before Ray is started
        self._note({"event": "started", "folder": node.get_session_dir_path()})
        while not self._complete() and not self.over.is_set():
            time.sleep(0.01)
        for fault in self._faults:
            start = self._round()
            if not self._until(lambda start=start, gap=fault.gap: self._round() > start + gap):
                return
            if not self._strike(fault):
                return
            if fault.role in ENDS:
                return
            generation = self._struck
            recovered = self._until(lambda at=generation: self._plain.history.generation > at and self._playing())
            if self.over.is_set():
                return
            self._note({"event": "recovered" if recovered else "not recovered", "fault": fault.number})

    def _strike(self, fault: Fault) -> bool:
        """Cause a fault at its moment. Returns False if the run has ended before."""
        if fault.moment == "recovery":
            return self._until(lambda: self._strike_recovery(fault))
        if fault.moment == "checkpoint":
            return self._until(
                lambda: self._incomplete() and self._hit(fault, self._incomplete, "checkpoint without manifest")
            )
        began = time.monotonic()
        return self._until(lambda: self._in_phase(fault, began) and self._hit(fault, self._playing, "playing"))

    def _strike_recovery(self, fault: Fault) -> bool:
        """Kill a worker, and cause the fault while the run recovers. Returns False if the recovery was faster."""
        before, struck = self._plain.history.generation, len(self._executor.recoveries)
        opening = self._workers()[0]
        os.kill(self._pid(opening), signal.SIGKILL)
        self._note({"event": "opening", "fault": fault.number, "victim": opening})
        self._until(lambda: self._plain.history.generation > before)
        if self._hit(fault, lambda: len(self._executor.recoveries) == struck, "recovering"):
            return True
        self._until(self._playing)
        return False

    def _hit(self, fault: Fault, still: Any, proof: str) -> bool:  # Any: a function that says whether the moment lasts
        """Stop the victim. If the moment lasts, send the signal; else let the victim continue, and return False."""
        victim = self._victim(fault)
        pid = self._pid(victim)
        if fault.role != DRIVER:
            os.kill(pid, signal.SIGSTOP)
        if not still():
            if fault.role != DRIVER:
                os.kill(pid, signal.SIGCONT)
            return False
        rounds = {name: last_round(actor) for name, actor in self._plain.workers.items()}
        entry = {"event": "struck", "fault": fault.number, "victim": victim, "signal": fault.signal}
        self._note({**entry, "moment": fault.moment, "proof": proof, "rounds": rounds, "at": self._standing})
        self._struck = self._plain.history.generation
        if fault.signal != "STOP":
            os.kill(pid, signal.Signals[f"SIG{fault.signal}"])
        return True

    def _in_phase(self, fault: Fault, began: float) -> bool:
        """Return whether the victim is in the phase of the fault.

        If the victim plays no round, or has no step in that phase within half a second, the loss is checked instead.
        """
        own = fault.role == WORKER and time.monotonic() - began < 0.5
        watched = self._victim(fault) if own else self._workers()[-1]
        with contextlib.suppress(RayError):
            standing: Standing = ray.get(self._plain.workers[watched].where.remote(), timeout=2.0)
            self._standing = f"{watched}: {standing.action}, round {standing.round}"
            responding = standing.action.startswith(_RESPONSE)
            return standing.action != "idle" and responding == (fault.moment == "response phase")
        return False

    def _playing(self) -> bool:
        return self._plain._boundary.left and not self._recovering()

    def _recovering(self) -> bool:
        return bool(self._plain._boundary._left not in ("", "play"))

    def _incomplete(self) -> bool:
        with contextlib.suppress(OSError):
            for folder in os.scandir(self._checkpoints):
                if not os.path.exists(os.path.join(folder.path, "manifest.json")) and os.path.isdir(folder.path):
                    return True
        return False

    def _complete(self) -> bool:
        return any(self._checkpoints.glob("round-*/manifest.json"))

    def _round(self) -> int:
        return max((last_round(actor) or 0 for actor in self._plain.workers.values()), default=0)

    def _workers(self) -> list[str]:
        return list(self._plain.workers)

    def _victim(self, fault: Fault) -> str:
        return self._workers()[int(fault.choice * len(self._workers()))] if fault.role == WORKER else fault.role

    def _pid(self, victim: str) -> int:
        if victim == DRIVER:
            return os.getpid()
        node: Any = ray_worker._global_node  # Any: None before Ray is started
        if victim in node.all_processes:
            return node.all_processes[victim][0].process.pid
        actor = self._plain._coordinator if victim == COORDINATOR else self._plain.workers[victim]
        while not self.over.is_set():
            with contextlib.suppress(RayError):
                return ray.get(actor.address.remote(), timeout=5.0)[1]
        raise SystemExit

    def _until(self, condition: Any) -> bool:  # Any: a function without arguments
        end = time.monotonic() + _PATIENCE
        while not self.over.is_set() and time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.0002)
        return False

    def _note(self, entry: dict[str, Any]) -> None:  # Any: JSON
        with self._log.open("a") as file:
            file.write(json.dumps({**entry, "time": time.time()}) + "\n")
            file.flush()
            os.fsync(file.fileno())


assert COORDINATOR == COORDINATOR_NAME and RAYLET  # the roles are the names of actors and of Ray's processes
