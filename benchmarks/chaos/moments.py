"""Tells from inside a driver at which moment its run is, and where its processes are."""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

import ray
from ray._private import worker as ray_worker
from ray.exceptions import RayError

from antiphon.coordinator.failures import Standing
from antiphon.coordinator.history import HISTORY
from antiphon.coordinator.round_file import last_round
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.finding import COORDINATOR as COORDINATOR_NAME
from antiphon.deploy.recovery import RecoveringExecutor
from antiphon.grammars.query import Kind
from benchmarks.chaos.faults import COORDINATOR, DRIVER, LOSS, MOMENTS, ORACLE, PLAYER

Place: TypeAlias = tuple[str, int]
"""Address of the node, and process id there."""
_QUERY, _RESPONSE, _CHECKPOINT, _RECOVERY = MOMENTS
_RESPONDING = ("response", "move", "send R", "receive R")
_ANSWER = 2.0


@final
class Moments:
    """The state of a run, seen from a thread of its driver. folder: the run folder."""

    def __init__(self, executor: RecoveringExecutor, folder: Path) -> None:
        self._plain: RayExecutor = executor._executor  # the public interface gives no access to processes and moments
        self._folder, self._checkpoints = folder, folder / "checkpoints"
        self.workers = self._plain.workers

    @property
    def round(self) -> int:
        """The latest round that is known to have begun."""
        known = [round for actor in self.workers.values() if (round := last_round(actor)) is not None]
        return max(known, default=self._plain._boundary.last)

    @property
    def generation(self) -> int:
        """The number of the channels of the run."""
        return self._plain.history.generation

    @property
    def playing(self) -> bool:
        """Whether the driver waits for rounds."""
        return self._plain._boundary._left == "play"

    @property
    def recovering(self) -> str:
        """What a recovery does now; empty if the run does not recover."""
        return self._plain._boundary._left if self._plain._boundary._left in ("regroup", "load") else ""

    @property
    def saved(self) -> bool:
        """Whether the run has a complete checkpoint."""
        return any(self._checkpoints.glob("round-*/manifest.json"))

    @property
    def unfinished(self) -> str:
        """The folder of the newest checkpoint if it has no manifest yet; else empty.

        An older folder without a manifest is being removed.
        """
        newest = max(self._checkpoints.glob("round-*"), default=None)
        return str(newest) if newest and not (newest / "manifest.json").exists() else ""

    def at(self, moment: str, watched: str) -> bool:
        """Return whether the run is at a moment. watched: the worker whose step tells the phase of the round."""
        if moment == _CHECKPOINT:
            return bool(self.unfinished)
        if moment == _RECOVERY:
            return bool(self.recovering)
        found = self._standing([watched]).get(watched)
        if found is None or found.action == "idle":
            return False
        return found.action.startswith(_RESPONDING) == (moment == _RESPONSE)

    def proof(self, moment: str, stopped: Collection[str]) -> str:
        """Return what proves that the run is at a moment now; empty if it is not.

        stopped: workers that do not answer. A worker that waits for one of them is the best proof of an open round.
        """
        if moment == _CHECKPOINT:
            return f"{Path(folder).name} has no manifest" if (folder := self.unfinished) else ""
        if moment == _RECOVERY:
            return f"{left} for generation {self.generation}" if (left := self.recovering) else ""
        found = self._standing([name for name in self.workers if name not in stopped]) if self.playing else {}
        inside = sorted((each.awaits not in stopped, name) for name, each in found.items() if each.action != "idle")
        if not inside or not self.playing:
            return ""
        name = inside[0][1]
        return f"round {found[name].round}, {name}: {' '.join(found[name].action.split())}"

    @property
    def completed(self) -> int:
        """How many batches of rounds and recoveries the history has. Both are written when they are complete."""
        return completed(self._folder)

    def workers_of(self, role: str) -> list[str]:
        """Return the workers that host the players, the oracles or the losses."""
        assignment = self._plain.assignment
        query = assignment.grammar.query
        names = {
            PLAYER: [player.name for player in query.players],
            ORACLE: [oracle.name for oracle in query.oracles],
            LOSS: [node.name for node in query.nodes if node.kind is Kind.LOSS],
        }
        return [assignment.placement.host_of[name] for name in names[role]]

    def place(self, name: str) -> Place | None:
        """Return address and process id of the driver, a worker, the coordinator or a process of Ray.

        Returns None if it does not answer.
        """
        if name == DRIVER:
            return "", os.getpid()
        node: Any = ray_worker._global_node  # Any: None before Ray is started
        if name in node.all_processes:
            return "", node.all_processes[name][0].process.pid
        with contextlib.suppress(RayError):
            found: Any = ray.get(self._actor(name).address.remote(), timeout=_ANSWER)  # Any: Ray's
            return found
        return None

    def far(self) -> Mapping[str, tuple[str, Place]]:
        """Return node and place of each worker and coordinator that is on another node than the driver."""
        own, found = ray.get_runtime_context().get_node_id(), dict[str, tuple[str, Place]]()
        asked = lambda _: ray.get_runtime_context().get_node_id()  # noqa: E731  # Ray sends a lambda by value
        with contextlib.suppress(RayError):
            for name in (*self.workers, COORDINATOR):
                node: Any = ray.get(self._actor(name).__ray_call__.remote(asked), timeout=_ANSWER)  # Any: Ray's
                place = self.place(name)
                if node != own and place:
                    found[name] = node, place
        return found

    def kill(self, worker: str) -> None:
        """Kill the process of a worker, on any node."""
        ray.kill(self.workers[worker], no_restart=False)

    def _actor(self, name: str) -> Any:  # Any: Ray's actor handles have no common type
        return self._plain._coordinator if name == COORDINATOR else self.workers[name]

    def _standing(self, names: Collection[str]) -> dict[str, Standing]:
        calls = {self.workers[name].where.remote(): name for name in names}
        found = dict[str, Standing]()
        for call in ray.wait(list(calls), num_returns=len(calls), timeout=_ANSWER)[0] if calls else []:
            with contextlib.suppress(RayError):
                found[calls[call]] = ray.get(call)
        return found


def completed(folder: Path) -> int:
    """Return how many batches of rounds and recoveries the history in a run folder has."""
    text = (folder / HISTORY).read_text()
    return text.count('"event": "played"') + text.count('"event": "recovered"')


assert COORDINATOR == COORDINATOR_NAME
