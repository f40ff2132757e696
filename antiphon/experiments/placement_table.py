"""The table [placement] of an experiment: workers, their resources and machines, and replicas of players."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, final

from pydantic import AfterValidator, BeforeValidator, Field

from antiphon.coordinator.plan.placement import Placement, Precision, Strategy, WorkerResources, hosted, spread
from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.plugins import nearest
from antiphon.recipes.common.tables import Arguments, Count, Table

_SMALLEST = 0.0001
"""The smallest resource amount that Ray distinguishes."""
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?")
_RAYS_OWN = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "", "object_store_memory": ""}


def _amount(value: float) -> float:
    if value != 0 and value < _SMALLEST:
        raise ValueError("0, or a number of at least 0.0001")
    return value


def _share(value: float) -> float:
    if not _is_share(value):
        raise ValueError("a whole number, or a fraction below 1")
    return value


def _is_share(value: float) -> bool:
    return value == 0 or _SMALLEST <= value < 1 or (value >= 1 and value == int(value))


def _own(resources: dict[str, float]) -> dict[str, float]:
    for name in resources:
        if name in _RAYS_OWN or name.startswith("node:") or not name:
            key = _RAYS_OWN.get(name) or ("node" if name.startswith("node:") else "")
            told = f" ({name} is said by {key!r})" if key else ""
            raise ValueError(f"resources of the cluster's own names{told}")
    return resources


def _node(value: object) -> object:
    pairs = list(value.items()) if isinstance(value, dict) else []
    labels = all(isinstance(each, str) and _LABEL.fullmatch(each) for pair in pairs for each in pair)
    if not isinstance(value, str) and not (pairs and labels):
        raise ValueError('an address, or a table of labels (name = "value")')
    return value


Amount = Annotated[float, AfterValidator(_amount)]
Share = Annotated[float, AfterValidator(_share)]
Resources = Annotated[dict[str, Amount], AfterValidator(_own)]
Node = Annotated[str | dict[str, str], BeforeValidator(_node)]


class ResourcesTable(Table):
    """Resources to request from the Ray cluster for a part of the grammar, in Ray's units.

    node: the address of a machine, or labels that its Ray node must have; "" for any machine.
    """

    num_cpus: Amount = 0.0
    num_gpus: Share = 0.0
    resources: Resources = Field(default={})
    node: Node = ""

    @property
    def demand(self) -> WorkerResources:
        """The requested resources as a `WorkerResources`."""
        node = self.node if isinstance(self.node, str) else tuple(self.node.items())
        return WorkerResources(self.num_cpus, self.num_gpus, tuple(self.resources.items()), node)


@final
class RemoteAgentTable(ResourcesTable):
    """Settings for an agent (optimizer of a player) that runs in another Ray actor than the player.

    worker: the name of that actor (default NAME.agent for the player NAME). Agents with the same worker share an actor.
    runtime_env: Ray's runtime environment of the actor's process.
    """

    worker: str | None = None
    runtime_env: Arguments = Field(default={})

    @property
    def demand(self) -> WorkerResources:
        """The requested resources and the runtime environment as a `WorkerResources`."""
        return replace(super().demand, runtime_env=json.dumps(self.runtime_env) if self.runtime_env else "")


@final
class PlaceTable(ResourcesTable):
    """Settings for the placement of one player, oracle or loss. The keys from `replicas` on are only for players.

    replicas: number of data-parallel copies. sharded: whether the parameters are divided among the replicas.
    accept_batch_coupling: whether replicas are allowed for a module that computes across the batch, such as batch norm.
    precision: the dtype of the computation. recompute: whether activations are computed again in the backward pass.
    remote_agent: settings for an agent in another actor.
    """

    replicas: Count | None = None
    sharded: bool = False
    accept_batch_coupling: bool = False
    precision: Literal["declared", "bfloat16", "float16"] = "declared"
    recompute: bool = False
    remote_agent: RemoteAgentTable | None = None


FOR_PLAYERS = tuple(key for key in PlaceTable.model_fields if key not in ResourcesTable.model_fields)
"""The settings of a placement that only players may have, but not oracles and losses."""


@final
class PlacementTable(Table):
    """The table [placement] of an experiment.

    strategy: how workers are distributed over machines: on few ("pack"), on many ("spread"), or each on its own
    ("strict_spread").
    fuse: groups of players, oracles and losses. Each group shares a worker, named after the group's first member.
    logical_gpus: if true, GPUs are only counted, and everything is computed on CPUs.
    of: settings for each player, oracle or loss, by name.
    """

    strategy: Literal["pack", "spread", "strict_spread"] = "pack"
    fuse: list[list[str]] = Field(default=[])
    logical_gpus: bool = False
    of: dict[str, PlaceTable] = Field(default={})

    def placement(self, grammar: Grammar) -> Placement:
        """Make the placement of a grammar from the settings in this object.

        Raises PlacementError for unknown names and for contradictions.
        """
        everyone, players = hosted(grammar), [player.name for player in grammar.query.players]
        self._refuse_strangers(grammar, everyone, players)
        apart = {name: place.remote_agent for name, place in self.of.items() if place.remote_agent is not None}
        plain = spread(grammar, self.fuse, {name: table.worker or f"{name}.agent" for name, table in apart.items()})
        demands: dict[str, list[tuple[str, WorkerResources]]] = {worker: [] for worker, _ in plain.workers}
        for name in everyone:
            demands[plain.host_of[name]] += [(name, self.of.get(name, PlaceTable()).demand)]
        for name, worker in plain.agents:
            demands[worker] += [(f"the agent of {name}", apart[name].demand)]
        joint = {worker: _joint(worker, asking) for worker, asking in demands.items()}
        replicas = {worker: self._replicas(worker, hosts) for worker, hosts in plain.workers}
        placed = {name: self.of[name] for name in players if name in self.of}
        placement = replace(
            plain,
            resources=tuple((worker, demand) for worker, demand in joint.items() if demand != WorkerResources()),
            strategy=Strategy(self.strategy),
            replicas=tuple((worker, count) for worker, count in replicas.items() if count > 1),
            sharded=tuple(name for name, place in placed.items() if place.sharded),
            coupled=tuple(name for name, place in placed.items() if place.accept_batch_coupling),
            recomputed=tuple(name for name, place in placed.items() if place.recompute),
            precision=tuple(
                (name, Precision(place.precision)) for name, place in placed.items() if place.precision != "declared"
            ),
            logical_gpus=self.logical_gpus,
        )
        _refuse_one_machine_for_two(placement)
        return placement

    def resolved(self, grammar: Grammar) -> dict[str, Any]:  # Any: TOML
        """Return the settings in this object as a TOML table, with all defaults, for each player, oracle and loss."""
        placement, players = self.placement(grammar), {player.name for player in grammar.query.players}
        told: dict[str, Any] = {}  # Any: TOML
        for name in hosted(grammar):
            given = self.of.get(name, PlaceTable())
            place = given.model_dump(exclude=set() if name in players else set(FOR_PLAYERS))
            if name in players:
                place["replicas"] = len(placement.replicas_of[placement.host_of[name]])
            if given.remote_agent is not None:
                own = {**place["remote_agent"], "worker": dict(placement.agents)[name]}
                place["remote_agent"] = {key: value for key, value in own.items() if value != {}}
            told[name] = {key: value for key, value in place.items() if value is not None and value != {}}
        return {**self.model_dump(exclude_none=True), "of": told}

    def _refuse_strangers(self, grammar: Grammar, everyone: Sequence[str], players: Sequence[str]) -> None:
        for key, names in (("fuse", [name for group in self.fuse for name in group]), ("of", self.of)):
            for name in names:
                if name not in everyone:
                    what = f"key 'placement.of.{name}' is of nobody" if key == "of" else f"{name!r} is to be fused"
                    raise PlacementError(
                        f"{what}: grammar {grammar.name!r} has {', '.join(everyone)}. "
                        f"{nearest(name, everyone)}Correct the name."
                    )
        for name, place in self.of.items():
            strange = [key for key in FOR_PLAYERS if key in place.model_fields_set]
            if strange and name not in players:
                raise PlacementError(
                    f"key 'placement.of.{name}.{strange[0]}' is for players, and {name!r} is none; expected one of "
                    f"{', '.join(players)}. Remove the key."
                )

    def _replicas(self, worker: str, hosts: Iterable[str]) -> int:
        said = {
            name: self.of[name].replicas for name in hosts if name in self.of and self.of[name].replicas is not None
        }
        return _agreed(worker, "replicas", said, 1)


def _joint(worker: str, asking: Sequence[tuple[str, WorkerResources]]) -> WorkerResources:
    """Return the resources of a worker: the sum of the amounts that the parts on the worker request.

    asking: (name, requested resources) of each part.
    Raises PlacementError if machines or runtime environments differ, or if Ray does not accept the sum of GPUs.
    """
    total: dict[str, float] = {}
    for _, demand in asking:
        for name, amount in demand.resources:
            total[name] = round(total.get(name, 0) + amount, 4)
    gpus = round(sum(demand.num_gpus for _, demand in asking), 4)
    if not _is_share(gpus):
        who = ", ".join(name for name, demand in asking if demand.num_gpus)
        raise PlacementError(
            f"{who} share worker {worker!r} and ask for {gpus:g} GPUs together; expected a whole number, or a fraction "
            "below 1, as Ray assigns them. Correct 'num_gpus' of one of them."
        )
    cpus = round(sum(demand.num_cpus for _, demand in asking), 4)
    node = _agreed(worker, "node", {name: demand.node for name, demand in asking if demand.node}, "")
    environments = {name: demand.runtime_env for name, demand in asking if demand.runtime_env}
    return WorkerResources(cpus, gpus, tuple(total.items()), node, _agreed(worker, "runtime_env", environments, ""))


def _agreed(worker: str, key: str, said: Mapping[str, Any], default: Any) -> Any:  # Any: values of the key
    """Return the common value of a setting of all parts on a worker; the default if no part has a value.

    key: name of the setting. said: the value of each part, by the part's name.
    Raises PlacementError if two values differ.
    """
    for name, value in said.items():
        first, other = next(iter(said.items()))
        if value != other:
            raise PlacementError(
                f"{first} and {name} share worker {worker!r}, and contradict each other in {key!r}: {_told(other)} "
                f"and {_told(value)}; expected one. Correct one of the two, or give them a worker each."
            )
    return next(iter(said.values()), default)


def _told(value: object) -> str:
    return repr(dict(value)) if isinstance(value, tuple) else str(value) if isinstance(value, int) else repr(value)


def _refuse_one_machine_for_two(placement: Placement) -> None:
    """Raise PlacementError if two workers request the same machine although the strategy is strict_spread."""
    if placement.strategy is not Strategy.STRICT_SPREAD:
        return
    there: dict[str, str] = {}
    for worker, demand in placement.resources_of.items():
        if demand.node and isinstance(demand.node, str):
            other = there.setdefault(demand.node, worker)
            if other != worker:
                raise PlacementError(
                    f"workers {other!r} and {worker!r} are both to be on {demand.node!r}, and strategy 'strict_spread' "
                    "gives each worker a machine of its own. Correct 'node' of one of them, or the strategy."
                )
