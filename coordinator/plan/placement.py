"""Placements: data that state which worker hosts each player, oracle and loss. No worker is started."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import homes
from antiphon.grammars.names import fault_of
from antiphon.grammars.numbers import Count
from antiphon.grammars.query import Kind
from antiphon.grammars.typed import typed


class Strategy(StrEnum):
    """How Ray distributes the workers over machines: the strategies of Ray's placement groups."""

    PACK = "pack"
    SPREAD = "spread"
    STRICT_SPREAD = "strict_spread"


class Precision(StrEnum):
    """The precision in which a player's module computes.

    DECLARED: without `torch.autocast`. BFLOAT16, FLOAT16: under `torch.autocast` with this dtype. Messages keep their
    declared dtypes in all cases.
    """

    DECLARED = "declared"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class WorkerResources:
    """The resources that one worker needs from the cluster, in Ray's units.

    num_cpus: number of logical CPUs. num_gpus: number of GPUs; workers with a fraction share a GPU. resources: names
    and amounts of custom resources. node: address of a machine, or labels that its Ray node must have; empty for any
    machine. runtime_env: Ray's runtime environment of the worker's process, as JSON (for example its pip packages);
    empty for the runtime environment of the run.
    """

    num_cpus: float = 0.0
    num_gpus: float = 0.0
    resources: tuple[tuple[str, float], ...] = ()
    node: str | tuple[tuple[str, str], ...] = ""
    runtime_env: str = ""


@typed
@dataclass(frozen=True)
class Placement:
    """States which worker hosts each player, oracle and loss, and which resources each worker needs.

    A clone lives on the worker of its player. An operator without parameters lives on the worker of its first consumer.
    workers: the workers in a fixed order, each with the names that it hosts. agents: players whose agent (optimizer) is
    on another worker than their module, each with the worker of the agent. Gradients and parameters are then sent as
    messages. resources: the resources of each worker; none by default. strategy: how Ray distributes workers over
    machines.
    replicas: for each replicated worker, the number of its copies, which are named `worker`, `worker#1`, ... Each copy
    plays a slice of every batch, and gradients are summed over the copies. A replicated worker hosts only players.
    sharded: players of which each replica holds a shard of the parameters. coupled: players whose batch may be split
    although its examples influence each other (batch norm). precision: the precision of each player; the declared
    dtypes by default. recomputed: players that keep no activations for the backward pass, but compute the forward pass
    again. logical_gpus: Ray only counts GPUs, and all workers compute on CPUs, for a trial on machines without GPUs.
    """

    workers: tuple[tuple[str, tuple[str, ...]], ...]
    agents: tuple[tuple[str, str], ...] = ()
    resources: tuple[tuple[str, WorkerResources], ...] = ()
    strategy: Strategy = Strategy.PACK
    replicas: tuple[tuple[str, Count], ...] = ()
    sharded: tuple[str, ...] = ()
    coupled: tuple[str, ...] = ()
    precision: tuple[tuple[str, Precision], ...] = ()
    recomputed: tuple[str, ...] = ()
    logical_gpus: bool = False

    def __post_init__(self) -> None:
        for worker, _ in self.workers:
            if fault_of(worker):
                raise PlacementError(
                    f"name {worker!r} of a worker {fault_of(worker)}; expected letters, digits and signs that can be "
                    "printed. Choose another name."
                )
        _refuse_repeated([*self.names, *(f"hosted:{each}" for _, hosts in self.workers for each in hosts)])
        _refuse_repeated([f"the agent of {player}" for player, _ in self.agents])
        known = {worker for worker, _ in self.workers}
        used = [(f"the agent of player {player!r} is placed on", worker) for player, worker in self.agents]
        used += [("resources are given to", worker) for worker, _ in self.resources]
        used += [("replicas are given to", worker) for worker, _ in self.replicas]
        for what, worker in used:
            if worker not in known:
                raise PlacementError(
                    f"{what} {worker!r}, which is no worker; expected one of {sorted(known)}. "
                    "Add the worker, or name one of these."
                )

    @functools.cached_property
    def host_of(self) -> Mapping[str, str]:
        """The worker of each player, oracle and loss, by name. For a worker with replicas: the first replica."""
        return {hosted: worker for worker, hosts in self.workers for hosted in hosts}

    @functools.cached_property
    def agent_of(self) -> Mapping[str, str]:
        """For each player whose agent and module are on different workers: the worker of the agent."""
        return {player: worker for player, worker in self.agents if self.host_of.get(player) != worker}

    @functools.cached_property
    def replicas_of(self) -> Mapping[str, tuple[str, ...]]:
        """For each worker of `workers`: the names of its replicas. The first replica has the name of the worker."""
        counts = dict(self.replicas)
        return {
            worker: (worker, *(f"{worker}#{index}" for index in range(1, counts.get(worker, 1))))
            for worker, _ in self.workers
        }

    @functools.cached_property
    def replicated(self) -> frozenset[str]:
        """The names of all replicas of workers with two or more replicas."""
        return frozenset(each for group in self.replicas_of.values() if len(group) > 1 for each in group)

    @functools.cached_property
    def resources_of(self) -> Mapping[str, WorkerResources]:
        """The resources that each worker needs, by name of the worker, including all replicas."""
        demands = dict(self.resources)
        return {
            each: demands.get(worker, WorkerResources()) for worker, group in self.replicas_of.items() for each in group
        }

    @functools.cached_property
    def hosts_on(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the players, oracles and losses that each worker hosts, by worker, including all replicas."""
        hosts = dict(self.workers)
        return {each: hosts[worker] for worker, group in self.replicas_of.items() for each in group}

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all workers in order, including replicas. The index of a worker is its rank."""
        return tuple(each for worker, _ in self.workers for each in self.replicas_of[worker])

    def __repr__(self) -> str:
        lines = [f"  {worker}: {', '.join(hosts) or '(agents only)'}" for worker, hosts in self.hosts_on.items()]
        apart = [f"  agent of {player} on {worker}" for player, worker in self.agents]
        return "\n".join(["placement:", *lines, *apart])


def _refuse_repeated(names: list[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise PlacementError(
            f"{repeated[0].removeprefix('hosted:')!r} is placed twice; expected each worker once, and each player, "
            "oracle and loss on one worker. Remove one of the two."
        )


def hosted(grammar: Grammar) -> tuple[str, ...]:
    """Return the names of all oracles, players and losses, each of which a placement must assign to a worker.

    The names are in the order in which they are first queried.
    """
    kinds = (Kind.ORACLE, Kind.PLAYER, Kind.LOSS)
    asked = [
        node.owner if node.kind is not Kind.LOSS else node.name for node in grammar.query.nodes if node.kind in kinds
    ]
    return tuple(dict.fromkeys([*asked, *(player.name for player in grammar.query.players)]))


@typed
def spread(grammar: Grammar, fuse: Iterable[Iterable[str]] = (), agents: Mapping[str, str] | None = None) -> Placement:
    """Return the default placement on Ray: one worker per player, oracle and loss, with the same name.

    fuse: groups of names; each group shares one worker, which has the name of its first member. agents: the worker of
    the agent (optimizer), by player, for agents that are not on the worker of their player. If this worker does not
    exist yet, it is added.
    """
    known = hosted(grammar)
    leader = {name: name for name in known}
    groups = [tuple(group) for group in fuse if group]
    _refuse_repeated([name for group in groups for name in dict.fromkeys(group)])
    for group in groups:
        _refuse_unknown(grammar, group, known)
        leader.update(dict.fromkeys(group, group[0]))
    apart = tuple((agents or {}).items())
    _refuse_unknown(grammar, [player for player, _ in apart], [player.name for player in grammar.query.players])
    members: dict[str, list[str]] = {worker: [] for worker in leader.values()}
    for name in known:
        members[leader[name]].append(name)
    members |= {worker: [] for _, worker in apart if worker not in members}
    return Placement(tuple((worker, tuple(names)) for worker, names in members.items()), apart)


@typed
def together(grammar: Grammar, worker: str = "inline") -> Placement:
    """Return a placement of all players, oracles and losses on one worker, so that no messages are sent."""
    return Placement(((worker, hosted(grammar)),))


def locate(grammar: Grammar, placement: Placement) -> Mapping[str, str]:
    """Return the worker of every node of the Query graph, by node.

    Raises PlacementError if the placement leaves out a name of the grammar, or contains an unknown name.
    """
    players = [player.name for player in grammar.query.players]
    _refuse_unknown(grammar, placement.host_of, hosted(grammar))
    of_players = placement.agents, placement.precision
    for names in (*map(dict, of_players), placement.sharded, placement.coupled, placement.recomputed):
        _refuse_unknown(grammar, names, players)
    _refuse_what_cannot_be_split(placement, players)
    return {name: _place(placement, grammar, home) for name, home in homes(grammar.query).items()}


def _refuse_what_cannot_be_split(placement: Placement, players: Sequence[str]) -> None:
    """Raise PlacementError if an oracle or a loss has replicas, or a sharded player has none.

    An oracle cannot have replicas because it has one state, a loss because it is one mean over the batch.
    """
    replicated = {worker for worker, count in placement.replicas if count > 1}
    for name, worker in placement.host_of.items():
        if worker in replicated and name not in players:
            raise PlacementError(
                f"{name!r} lives on worker {worker!r}, which has replicas, and is no player; expected players alone "
                f"there, {list(players)}. Give {name!r} a worker of its own."
            )
    for player in placement.sharded:
        if placement.host_of.get(player) not in replicated:
            raise PlacementError(
                f"player {player!r} is to be sharded over its replicas, and has one; expected 2 or more. "
                "Give it replicas, or leave it whole."
            )


def _place(placement: Placement, grammar: Grammar, owner: str) -> str:
    if owner not in placement.host_of:
        raise PlacementError(
            f"{owner!r} of grammar {grammar.name!r} has no place; expected a worker for each of "
            f"{list(hosted(grammar))}. Name it under one of the workers {list(placement.names)}."
        )
    return placement.host_of[owner]


def _refuse_unknown(grammar: Grammar, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(dict.fromkeys(known))
    expected = frozenset(known)
    for name in names:
        if name not in expected:
            raise PlacementError(
                f"{name!r} is placed, but grammar {grammar.name!r} has no such name there; "
                f"expected one of {known}. Correct the name."
            )
