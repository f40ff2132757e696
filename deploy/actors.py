"""The classes of the coordinator package as Ray actors."""

from typing import Any

import ray

from antiphon.coordinator import coordinator, worker


def worker_actor() -> Any:  # Any: Ray's actor classes have no common type
    """`Worker` as an actor class, with a thread for play, one for mail, and some for control."""
    return ray.remote(concurrency_groups=worker.CONCURRENCY)(worker.Worker)


def coordinator_actor() -> Any:  # Any: as above
    """`Coordinator` as an actor class, which answers `status` while rounds are played."""
    return ray.remote(concurrency_groups=coordinator.CONCURRENCY)(coordinator.Coordinator)
