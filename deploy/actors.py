"""Makes Ray actor classes from the classes `Worker` and `Coordinator`."""

import functools
from typing import Any

import ray

from antiphon.coordinator import coordinator, worker

_remote: Any = ray.remote  # Any: Ray's stubs lack `concurrency_groups`, which its documentation has


@functools.cache  # Ray sends a class to the cluster once
def worker_actor() -> Any:  # Any: Ray's actor classes have no common type
    """Return the class `Worker` as a Ray actor class, with the concurrency groups for play, mail and control.

    Ray starts an actor again whenever its process or its node dies, until the actor is killed on purpose.
    """
    return _remote(concurrency_groups=worker.CONCURRENCY, max_restarts=-1)(worker.Worker)


@functools.cache
def coordinator_actor() -> Any:  # Any: a Ray actor class
    """Return the class `Coordinator` as a Ray actor class. Its actor answers `status` while rounds are played.

    Ray starts it again, like a worker.
    """
    return _remote(concurrency_groups=coordinator.CONCURRENCY, max_restarts=-1)(coordinator.Coordinator)
