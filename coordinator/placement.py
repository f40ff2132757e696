"""Who lives where: players, oracles and losses onto workers. A value; nothing is started here."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.errors import PlacementError
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.homes import homes
from antiphon.grammars.query import Kind


@dataclass(frozen=True)
class Placement:
    """Workers in a fixed order, each with the players, oracles and losses that it hosts.

    A clone lives with its player; a parameterless operator lives with its first consumer.
    agents: players whose agent lives on another worker than their operator, with that worker: gradients and parameters
    of such a player travel as messages.
    """

    workers: tuple[tuple[str, tuple[str, ...]], ...]
    agents: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        names = [worker for worker, _ in self.workers] + [
            f"hosted:{each}" for _, hosts in self.workers for each in hosts
        ]
        _refuse_repeated(names)
        _refuse_repeated([f"the agent of {player}" for player, _ in self.agents])
        known = {worker for worker, _ in self.workers}
        for player, worker in self.agents:
            if worker not in known:
                raise PlacementError(
                    f"the agent of player {player!r} is placed on {worker!r}, which is no worker; "
                    f"expected one of {sorted(known)}. Add the worker, or place the agent on one of these."
                )

    @functools.cached_property
    def host_of(self) -> Mapping[str, str]:
        """The worker of each player, oracle and loss."""
        return {hosted: worker for worker, hosts in self.workers for hosted in hosts}

    @functools.cached_property
    def agent_of(self) -> Mapping[str, str]:
        """The worker of each player's agent, where it is not the operator's own."""
        return {player: worker for player, worker in self.agents if self.host_of.get(player) != worker}

    @property
    def names(self) -> tuple[str, ...]:
        """The workers, in order: a worker's position is its rank."""
        return tuple(worker for worker, _ in self.workers)

    def __repr__(self) -> str:
        lines = [f"  {worker}: {', '.join(hosts) or '(agents only)'}" for worker, hosts in self.workers]
        apart = [f"  agent of {player} on {worker}" for player, worker in self.agents]
        return "\n".join(["placement:", *lines, *apart])


def _refuse_repeated(names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PlacementError(
            f"{repeated[0].removeprefix('hosted:')!r} is placed twice; expected each worker once, and each player, "
            "oracle and loss on one worker. Remove one of the two."
        )


def hosted(grammar: Grammar) -> tuple[str, ...]:
    """Everyone who gets a place: oracles, players and losses, in the order in which Q first asks them."""
    kinds = (Kind.ORACLE, Kind.PLAYER, Kind.LOSS)
    asked = [
        node.owner if node.kind is not Kind.LOSS else node.name for node in grammar.query.nodes if node.kind in kinds
    ]
    return tuple(dict.fromkeys([*asked, *(player.name for player in grammar.query.players)]))


def spread(grammar: Grammar, fuse: Iterable[Iterable[str]] = (), agents: Mapping[str, str] | None = None) -> Placement:
    """The default: a worker per player, oracle and loss, named like it.

    Sharing is explicit: each group of `fuse` shares one worker, named after its first member.
    agents: player -> worker of its agent; an unknown worker is added.
    """
    everyone = hosted(grammar)
    leader = {name: name for name in everyone}
    groups = [tuple(group) for group in fuse if group]
    _refuse_repeated([name for group in groups for name in dict.fromkeys(group)])
    for group in groups:
        _refuse_unknown(grammar, group, everyone)
        leader.update(dict.fromkeys(group, group[0]))
    apart = tuple((agents or {}).items())
    _refuse_unknown(grammar, [player for player, _ in apart], [player.name for player in grammar.query.players])
    workers = {
        worker: tuple(name for name in everyone if leader[name] == worker) for worker in dict.fromkeys(leader.values())
    }
    workers |= {worker: () for _, worker in apart if worker not in workers}
    return Placement(tuple(workers.items()), apart)


def together(grammar: Grammar, worker: str = "inline") -> Placement:
    """Everyone on one worker: no message travels."""
    return Placement(((worker, hosted(grammar)),))


def locate(grammar: Grammar, placement: Placement) -> Mapping[str, str]:
    """The worker of every node of Q. Raises PlacementError when somebody has no place."""
    _refuse_unknown(grammar, placement.host_of, hosted(grammar))
    _refuse_unknown(grammar, dict(placement.agents), [player.name for player in grammar.query.players])
    return {name: _place(placement, grammar, home) for name, home in homes(grammar.query).items()}


def _place(placement: Placement, grammar: Grammar, owner: str) -> str:
    if owner not in placement.host_of:
        raise PlacementError(
            f"{owner!r} of grammar {grammar.name!r} has no place; expected a worker for each of "
            f"{list(hosted(grammar))}. Name it under one of the workers {list(placement.names)}."
        )
    return placement.host_of[owner]


def _refuse_unknown(grammar: Grammar, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise PlacementError(
                f"{name!r} is placed, but grammar {grammar.name!r} has nobody of that name there; "
                f"expected one of {known}. Correct the name."
            )
