"""A resident pool of workers that load one program after another, because an actor that imports torch starts slowly."""

from typing import Any, final

import ray

from antiphon.deploy.actors import coordinator_actor, worker_actor
from antiphon.deploy.reservation import Reservation


@final
class Pool:
    """Idle workers and coordinators, lent to executors. Grows when more are asked for than it has.

    Used by one thread. Raises PlacementError when the cluster has no room.
    """

    def __init__(self, size: int = 0) -> None:
        self._reservation = Reservation(name="antiphon-pool")
        self._workers: list[Any] = []  # Any: Ray's actor handles have no common type
        self._coordinators: list[Any] = []
        self._grow(size)

    def take(self, count: int) -> list[Any]:
        """So many workers, ready. Give them back with `give`, unless they broke."""
        self._grow(count - len(self._workers))
        taken, self._workers = self._workers[:count], self._workers[count:]
        return taken

    def take_coordinator(self) -> Any:
        """A coordinator, ready."""
        return self._coordinators.pop() if self._coordinators else self._start(coordinator_actor())

    def give(self, workers: list[Any], coordinator: Any) -> None:
        """Take them back, first in, first out."""
        self._workers += workers
        self._coordinators.append(coordinator)

    def close(self) -> None:
        """Stop everyone who is idle. May be called twice."""
        for each in [*self._workers, *self._coordinators]:
            ray.kill(each)
        self._workers, self._coordinators = [], []
        self._reservation.release()

    def _grow(self, count: int) -> None:
        fresh = [self._start(worker_actor()) for _ in range(count)]
        ray.get([each.address.remote() for each in fresh])
        self._workers += fresh

    def _start(self, actor: Any) -> Any:
        return actor.options(**self._reservation.options()).remote()
