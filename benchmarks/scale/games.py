"""The measured grammars: a chain of layers, replicas of one player, and agents that share Nature.

They are small, so that overhead dominates.
"""

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
"""Bytes of a message: ROWS rows of WIDTH numbers, also for each replica."""
SGD = AgentSpecification.of("SGD", {"lr": 0.01})


def nature(rows: int = ROWS) -> OracleDeclaration:
    """Declare a Nature that always answers the same batch of `rows` rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, WIDTH, generator=generator)
    return arrays(x, torch.randint(WIDTH, (rows,), generator=generator), batch=rows, shuffle=False)


def linear() -> Factory:
    """Return the factory of a very small player."""
    return Factory.of(nn.Linear, WIDTH, WIDTH)


def chain(workers: int) -> Assignment:
    """Make a chain of layers between Nature and a loss, each on its own worker."""
    grammar = backprop(nature(), {f"Layer{index}": linear() for index in range(workers - 2)})
    return assign(grammar, SGD, placement=spread(grammar))


def replicas(workers: int) -> Assignment:
    """Make one player, replicated on all workers except two, with ROWS rows of a batch for each replica."""
    count = workers - 2
    grammar = supervised(nature(ROWS * count), linear())
    apart = spread(grammar)
    placement = Placement(apart.workers, replicas=(("Predictor", count),))
    return assign(grammar, SGD, placement=placement)


def shared_nature(count: int) -> Grammar:
    """Make a grammar of `count` players, each with its own loss, that all get their inputs from one Nature."""
    q = QueryDraft()
    x, y = q.oracle("Nature", nature())()
    losses = [
        q.loss(f"Loss{index}", cross_entropy)(q.player(f"Agent{index}", linear())(x), y) for index in range(count)
    ]
    objective = minimise(*losses)
    return Grammar("shared-nature", q.graph(), chain_rule(q, objective), objective)


def agents(workers: int) -> Assignment:
    """Make a grammar with Nature on one worker, and a player with its own loss on each other worker."""
    grammar = shared_nature(workers - 1)
    fuse = [[f"Agent{index}", f"Loss{index}"] for index in range(workers - 1)]
    return assign(grammar, SGD, placement=spread(grammar, fuse))


GAMES: dict[str, Callable[[int], Assignment]] = {"chain": chain, "replicas": replicas, "agents": agents}
