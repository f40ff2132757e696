"""Room on the cluster for one run: a placement group, asked for with a deadline and given back."""

from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from antiphon.errors import PlacementError


class Reservation:
    """One bundle of CPUs in which all actors of a run live. Actors themselves ask for none: they share the bundle."""

    def __init__(self, cpus: float = 1.0, deadline: float = 30.0) -> None:
        available = ray.cluster_resources().get("CPU", 0.0)
        if cpus > available:
            raise PlacementError(
                f"a run needs {cpus:g} CPUs and the cluster has {available:g}; expected at least as many. "
                "Join a larger cluster, or start Ray with more."
            )
        self._group: PlacementGroup | None = placement_group([{"CPU": cpus}], strategy="PACK")
        if not self._group.wait(timeout_seconds=deadline):
            self.release()
            raise PlacementError(
                f"{cpus:g} CPUs were not free within {deadline:g} s, of {available:g} that the cluster has; expected "
                "room for one more run. Wait for others to end, or give it a longer deadline."
            )

    @property
    def options(self) -> dict[str, Any]:  # Any: Ray's actor options
        """What an actor is started with, to live in here."""
        assert self._group is not None  # nobody starts an actor in a room that was given back
        strategy = PlacementGroupSchedulingStrategy(placement_group=self._group, placement_group_bundle_index=0)
        return {"num_cpus": 0, "scheduling_strategy": strategy}

    def release(self) -> None:
        """Give the room back. May be called twice."""
        group, self._group = self._group, None
        if group is not None:
            remove_placement_group(group)
