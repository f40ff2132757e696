"""A resident pool of workers that serve several runs, because an actor that imports torch starts slowly."""

from typing import Any, final

import ray

from antiphon.deploy.actors import coordinator_actor, worker_actor
from antiphon.deploy.reservation import Reservation


@final
class Pool:
    """Holds idle workers and coordinators for executors, and starts more if it has too few. Not thread-safe.

    size: number of workers at the start.
    Raises PlacementError if the cluster has no free resources.
    """

    def __init__(self, size: int = 0) -> None:
        self._reservation = Reservation(name="antiphon-pool")
        self._workers: list[Any] = []  # Any: Ray's actor handles have no common type
        self._coordinators: list[Any] = []
        self._grow(size)

    def take(self, count: int) -> list[Any]:
        """Return `count` workers that are ready. The caller gives them back with `give`, unless they are broken."""
        self._grow(count - len(self._workers))
        taken, self._workers = self._workers[:count], self._workers[count:]
        return taken

    def take_coordinator(self) -> Any:
        """Return a coordinator that is ready. The caller gives it back with `give`, unless it is broken."""
        return self._coordinators.pop() if self._coordinators else self._start(coordinator_actor())

    def give(self, workers: list[Any], coordinator: Any) -> None:
        """Put workers and a coordinator back into the pool. Workers that came back first are lent first."""
        self._workers += workers
        self._coordinators.append(coordinator)

    def close(self) -> None:
        """Stop all idle workers and coordinators. May be called twice."""
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
