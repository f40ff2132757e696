"""Watches Ray's head and the node of this process. Without this watch, Ray would end the process with its own error."""

import threading
import time
from pathlib import Path
from typing import Any, final

import ray
from ray._private import worker
from ray._raylet import GcsClient, NodeID  # pyright: ignore[reportAttributeAccessIssue]  # its stub lacks them
from ray.exceptions import RayError

from antiphon.errors import RoundError

PATIENCE = 30.0
"""Seconds without an answer of the head after which it counts as lost. Ray ends a process after 60 such seconds.

A head with an external store may be started again within this time: then the run goes on.
"""
_LOOK, _ANSWER = 2.0, 5.0


@final
class HeadWatch:
    """Asks Ray's control store (GCS) in a thread, every two seconds, whether it and the node of this process live.

    address: the address of the control store.

    If this process has started Ray, Ray's processes are watched, too. So the death of one of them is noticed at once.
    """

    def __init__(self, address: str) -> None:
        self.address, self._node = address, NodeID.from_hex(ray.get_runtime_context().get_node_id())
        self._heard, self._node_alive = time.monotonic(), True
        self._missed = 0.0  # seconds of unanswered requests; not of the clock, because this process may be suspended
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="antiphon-head", daemon=True).start()

    def check(self) -> None:
        """Raise RoundError if the head or this node is lost. Does not block."""
        if reason := self.lost:
            raise RoundError(
                f"the run has lost its Ray: {reason}. Expected Ray's control store and this node to live as long as "
                "the run. Start Ray again if it is not antiphon's own, and then `antiphon resume` with the run folder."
            )

    @property
    def lost(self) -> str:
        """The reason why Ray counts as lost; empty if it does not."""
        if gone := dead_processes():
            return f"its process {gone[0]!r} is gone"
        if self._missed > PATIENCE:
            return f"its control store at {self.address} has not answered for {self._missed:.0f} s"
        return "" if self._node_alive else "its control store has given up the node of this process"

    @property
    def silence(self) -> float:
        """Seconds since the last answer of the control store."""
        return time.monotonic() - self._heard

    def answers(self) -> bool:
        """Return whether Ray answers now. Blocks up to a few seconds, until the next answer of the control store."""
        end = time.monotonic() + _ANSWER
        while not self.lost and not stopped_processes():
            if self.silence < 2 * _LOOK:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """End the thread. May be called twice."""
        self._closed.set()

    def _watch(self) -> None:
        client: Any = None  # Any: Ray's own client
        while not self._closed.wait(_LOOK):
            began = time.monotonic()
            try:
                client = client or GcsClient(address=self.address)
                self._node_alive = client.check_alive([self._node], timeout=_ANSWER) == [True]
                self._heard, self._missed = time.monotonic(), 0.0
            except RayError:
                self._missed += _LOOK + min(_ANSWER, time.monotonic() - began)


_latest: list[HeadWatch] = []


def head_watch() -> HeadWatch:
    """Return the watch of the Ray that this process is connected to. The first call starts it."""
    address = ray.get_runtime_context().gcs_address
    if not _latest or _latest[0].address != address:
        _latest[:] = [HeadWatch(address)]
    return _latest[0]


def stopped_processes() -> list[str]:
    """Return the names of the processes of Ray that this process has started and that are stopped (SIGSTOP)."""
    node: Any = worker._global_node  # Any: None before Ray is started
    live = node.live_processes() if node is not None else []
    return [name for name, process in live if _state(process.pid) == "T"]


def _state(process: int) -> str:
    """Return the letter of a process's state; empty if there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def dead_processes() -> list[str]:
    """Return the names of the processes of Ray that this process has started and that are gone."""
    node: Any = worker._global_node  # Any: None before Ray is started
    return [name for name, _ in node.dead_processes()] if node is not None else []
