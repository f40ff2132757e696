"""Games whose players adjust their gradients by second derivatives: SGA, consensus optimisation, LOLA.

Each adjustment is a few further terms of the players' objectives, made of gradients that are values of Q. They apply to
any players, as networks. l_i is the loss of player i, and d_j l_i its gradient with respect to player j.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import permutations
from operator import add
from typing import TypeAlias

import torch
from torch import Tensor

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, Value, chain_rule, exact, typed
from antiphon.grammars.draft import BrickHandle, PlayerHandle
from antiphon.grammars.library.game import refuse_other_names
from antiphon.grammars.library.gan import discernment, unconvinced
from antiphon.grammars.library.unlabelled import first
from antiphon.grammars.objective import Objective, maximise, minimise
from antiphon.grammars.second_order import gradient

Losses: TypeAlias = Mapping[PlayerHandle | BrickHandle, Value]
"""The loss of each player in a draft. It has to depend on all of these players."""

Adjustment: TypeAlias = Callable[..., Objective]
"""A function of (draft, losses) and further arguments that returns the objective of all players."""


def plain(q: QueryDraft, losses: Losses) -> Objective:
    """Return the objective without an adjustment: each player minimises its own loss (simultaneous descent)."""
    return reduce(add, (minimise(loss, players=[player.name]) for player, loss in losses.items()))


def symplectic(q: QueryDraft, losses: Losses, weight: float = 1.0) -> Objective:
    """Return the objective of symplectic gradient adjustment (SGA).

    Each player receives its gradient plus `weight` times its part of A^T xi. Here xi is the vector of all players'
    gradients, and A the antisymmetric part of its Jacobian (Balduzzi et al. 2018, The mechanics of n-player
    differentiable games).
    """
    found = plain(q, losses)
    for me, other, mine, own in _pairs(q, losses):
        bend = q.loss(f"Bend of {me} by {other}", half_square, weight=weight / 2)(own)
        turn = q.loss(f"Turn of {me} by {other}", inner, weight=weight / 2)(mine, own)
        found += minimise(bend, players=[me]) + maximise(turn, held=[own], players=[me])
    return found


def consensus(q: QueryDraft, losses: Losses, weight: float = 1.0) -> Objective:
    """Return the objective of consensus optimisation: all players also minimise `weight` times |xi|^2 / 2.

    xi is the vector of all players' gradients (Mescheder et al. 2017, The numerics of GANs).
    """
    found = plain(q, losses)
    for player, loss in losses.items():
        own = gradient(q, loss, player)
        found += minimise(q.loss(f"Norm of {player.name}", half_square, weight=weight)(own))
    return found


def lola(q: QueryDraft, losses: Losses, weight: float = 1.0) -> Objective:
    """Return the objective of learning with opponent-learning awareness (LOLA).

    Each player also descends along what the next step of every opponent, of size `weight`, changes of its own loss, to
    first order (Foerster et al. 2018, Learning with opponent-learning awareness).
    """
    found = plain(q, losses)
    for me, other, mine, own in _pairs(q, losses):
        shape = q.loss(f"Shaping of {other} by {me}", inner, weight=weight)(mine, own)
        found += maximise(shape, held=[mine], players=[me])
    return found


ADJUSTMENTS: Mapping[str, Adjustment] = {"symplectic": symplectic, "consensus": consensus, "lola": lola}


def _pairs(q: QueryDraft, losses: Losses) -> Iterator[tuple[str, str, Value, Value]]:
    """Yield, for each player i and each other player j: both names, d_j l_i, and d_j l_j."""
    told = {player: dict(zip(losses, gradient(q, loss, *losses), strict=True)) for player, loss in losses.items()}
    for me, other in permutations(losses, 2):
        yield me.name, other.name, told[me][other], told[other][other]


@typed
def adjusted_game(
    players: Mapping[str, Factory],
    losses: Mapping[str, Callable[..., Tensor] | Factory],
    adjustment: Adjustment | Factory,
    referee: OracleDeclaration | None = None,
) -> Grammar:
    """Make the grammar of a game whose players adjust their gradients.

    players: a module without inputs for each player, such as `Point`. losses: a function for each player, from the
    plays of all players (in the order of `players`) to the loss of this player, 0-d. adjustment: `symplectic`,
    `consensus`, `lola` or `plain`, or a factory of one with its `weight`. referee: an oracle that sees all plays.
    """
    refuse_other_names(players, losses)
    q = QueryDraft()
    handles = [q.player(each, factory) for each, factory in players.items()]
    plays = [handle() for handle in handles]
    own = {handle: q.loss(f"Loss of {handle.name}", losses[handle.name])(*plays) for handle in handles}
    if referee is not None:
        q.oracle("Referee", referee)(*plays)
    return _adjusted("adjusted-game", q, own, adjustment)


@typed
def adjusted_gan(
    environment: OracleDeclaration,
    noise: OracleDeclaration,
    forger: Factory,
    curator: Factory,
    adjustment: Adjustment | Factory,
) -> Grammar:
    """Make the grammar of a generative adversarial network whose players adjust their gradients.

    The players, the oracles and the modules are those of `gan`. Forger maximises E log D(G(eps)). adjustment: as in
    `adjusted_game`.
    """
    q = QueryDraft()
    x, forge, judge = (
        first(q.oracle("Environment", environment)()),
        q.player("Forger", forger),
        q.player("Curator", curator),
    )
    fake = judge(forge(q.oracle("Noise", noise)()))
    caught = q.loss("Loss of Curator", indistinct)(judge(x), fake)
    return _adjusted("adjusted-gan", q, {judge: caught, forge: q.loss("Loss of Forger", unconvinced)(fake)}, adjustment)


def _adjusted(name: str, q: QueryDraft, losses: Losses, adjustment: Adjustment | Factory) -> Grammar:
    chosen = adjustment if isinstance(adjustment, Factory) else Factory.of(adjustment)
    objective = chosen.target(q, losses, *chosen.arguments, **dict(chosen.keywords))
    return Grammar(name, q.graph(), chain_rule(q, objective), objective, exact())


def indistinct(real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of Curator, 0-d: minus the mean of log D(x), minus the mean of log(1 - D(G(eps)))."""
    return -discernment(real, fake)


def half_square(vector: Tensor, weight: float) -> Tensor:
    """Return `weight` times |vector|^2 / 2, 0-d."""
    return weight * vector.square().sum() / 2


def inner(one: Tensor, other: Tensor, weight: float) -> Tensor:
    """Return `weight` times the inner product of two vectors, 0-d."""
    return weight * torch.dot(one, other)
