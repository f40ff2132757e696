"""Reserves the resources of one run with a Ray placement group, which is removed at the end of the run."""

from typing import Any

from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from antiphon.coordinator.plan.placement import Placement
from antiphon.deploy.bundles import amounts, bundles_of
from antiphon.deploy.cluster import holders, machines
from antiphon.deploy.environments import environment
from antiphon.deploy.satisfiable import refuse_unsatisfiable
from antiphon.errors import PlacementError

_NOBODY = Placement(())


class Reservation:
    """A placement group with the resources of a placement, for all actors of a run.

    name: name of the placement group; it appears in errors of other runs. deadline: seconds to wait for busy resources.
    Raises PlacementError at once if the cluster cannot satisfy the placement, after the deadline if it is too busy.
    """

    def __init__(self, placement: Placement = _NOBODY, name: str = "antiphon", deadline: float = 30.0) -> None:
        self._resources, self._name = placement.resources_of, name
        self._bundles = bundles_of(placement)
        refuse_unsatisfiable(self._bundles, machines(), placement.strategy)
        self._at = {worker: index for index, bundle in enumerate(self._bundles) for worker in bundle.workers}
        self._group: PlacementGroup | None = placement_group(
            [bundle.asked for bundle in self._bundles],
            strategy=placement.strategy.upper(),
            name=name,
            bundle_label_selector=[bundle.labels for bundle in self._bundles],
        )
        try:
            if not self._group.wait(timeout_seconds=deadline):
                raise self._busy(deadline)
        except BaseException:
            self.release()
            raise

    def options(self, worker: str = "") -> dict[str, Any]:  # Any: Ray's actor options
        """Return the options with which Ray starts the actor of a worker.

        An actor that is not a worker of the placement, such as the coordinator, gets the first bundle of the placement
        group and no resources.
        """
        assert self._group is not None  # no actor is started after `release`
        index, demand = self._at.get(worker, 0), self._resources.get(worker)
        strategy = PlacementGroupSchedulingStrategy(placement_group=self._group, placement_group_bundle_index=index)
        if demand is None:
            return {"num_cpus": 0, "scheduling_strategy": strategy}
        own = {"runtime_env": environment(worker, demand)} if demand.runtime_env else {}
        demands = {"num_cpus": demand.num_cpus, "num_gpus": demand.num_gpus, "resources": dict(demand.resources)}
        return {**demands, **own, "scheduling_strategy": strategy}

    def release(self) -> None:
        """Remove the placement group. May be called twice."""
        group, self._group = self._group, None
        if group is not None:
            remove_placement_group(group)

    def _busy(self, deadline: float) -> PlacementError:
        wanted: dict[str, float] = {}
        for bundle in self._bundles:
            for name, value in bundle.asked.items():
                wanted[name] = round(wanted.get(name, 0.0) + value, 4)
        there = [
            f"{machine.address!r} has {amounts({name: round(machine.free.get(name, 0.0), 4) for name in wanted})} free"
            for machine in machines()
            if any(machine.total.get(name) for name in wanted)
        ]
        held = [f"{who!r} holds {amounts(what)}" for who, what in holders(self._name).items()]
        return PlacementError(
            f"the run's resources were not free within {deadline:g} s: it asks for {amounts(wanted)}; "
            f"{', '.join(there)}; {', '.join(held) or 'no placement group holds the rest'}. "
            "Expected others to end in time: wait for them, "
            "stop one, or ask for less."
        )
