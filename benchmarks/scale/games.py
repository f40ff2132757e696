"""The grammars that are measured: a chain, replicas, agents that share Nature. Small, so that overhead shows."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from antiphon.agents import AgentSpecification
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.library import backprop, supervised
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration

WIDTH, ROWS = 16, 8
VALUE = 4 * WIDTH * ROWS
"""Bytes of what travels: ROWS rows of WIDTH numbers; to each replica, too."""
SGD = AgentSpecification.of("SGD", {"lr": 0.01})


def nature(rows: int = ROWS) -> OracleDeclaration:
    """One and the same batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, WIDTH, generator=generator)
    return arrays(x, torch.randint(WIDTH, (rows,), generator=generator), batch=rows, shuffle=False)


def linear() -> Factory:
    """A player as small as may be."""
    return Factory.of(nn.Linear, WIDTH, WIDTH)


def chain(workers: int) -> Assignment:
    """Layers between Nature and a loss, a worker each."""
    grammar = backprop(nature(), {f"Layer{index}": linear() for index in range(workers - 2)})
    return assign(grammar, SGD, placement=spread(grammar))


def replicas(workers: int) -> Assignment:
    """One player on all workers but two; ROWS rows for each replica."""
    count = workers - 2
    grammar = supervised(nature(ROWS * count), linear())
    apart = spread(grammar)
    placement = Placement(apart.workers, replicas=(("Predictor", count),))
    return assign(grammar, SGD, placement=placement)


def shared_nature(count: int) -> Grammar:
    """So many players, each with a loss of its own, who hear the same Nature."""
    q = QueryDraft()
    x, y = q.oracle("Nature", nature())()
    losses = [
        q.loss(f"Loss{index}", cross_entropy)(q.player(f"Agent{index}", linear())(x), y) for index in range(count)
    ]
    objective = minimise(*losses)
    return Grammar("shared-nature", q.graph(), chain_rule(q, objective), objective)


def agents(workers: int) -> Assignment:
    """Nature and so many agents, each with its loss on one worker."""
    grammar = shared_nature(workers - 1)
    fuse = [[f"Agent{index}", f"Loss{index}"] for index in range(workers - 1)]
    return assign(grammar, SGD, placement=spread(grammar, fuse))


GAMES: dict[str, Callable[[int], Assignment]] = {"chain": chain, "replicas": replicas, "agents": agents}
