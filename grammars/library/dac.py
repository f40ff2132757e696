"""Grammar 4, Deviator-Actor-Critic: a third player learns the derivative of the value with respect to the action
(essay, section 2.4).

Other methods differentiate Critic to get this derivative.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from antiphon.grammars import (
    UNKNOWN,
    Brick,
    Cadence,
    Estimated,
    Exact,
    Factory,
    Grammar,
    Guarantee,
    Insulated,
    Learned,
    OracleDeclaration,
    PlayerLoss,
    QueryDraft,
    Value,
    chain_rule,
    cut_into,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.draft import BrickHandle, OracleHandle, PlayerHandle
from antiphon.grammars.losses import bellman_gradient_error, descended_slope
from antiphon.grammars.maps import over_batch


def promises(loss: str, action: Value, slope: Value) -> Guarantee:
    """Return the promises of Deviator-Actor-Critic about the gradients that players receive.

    loss: the name of the loss that Critic and Deviator minimise. action: the value that Actor plays. slope: Deviator's
    output G at this action, an estimate of dQ/da. Actor receives -G / batch.
    """
    return promised(
        Learned(("Critic", "Deviator"), sense="Critic's Q and Deviator's G approach the value and its slope"),
        Estimated(("Actor",), UNKNOWN, sense="-G estimates the gradient of minus the value in the action"),
        Exact(("Critic", "Deviator"), sense="the gradient of the regression's error"),
        Exact(("Actor",), PlayerLoss.of(descended_slope, action, slope), sense="up the slope that G tells"),
        Insulated(("Actor",), (loss, "Critic")),
        Insulated(("Critic", "Deviator"), ("Actor",)),
    )


@dataclass(frozen=True)
class Control:
    """The handles of Nature (`world`), Actor (`mu`) and Critic (`value`) in a draft, and a function from s' to the
    target.

    The target is Q~(s', mu~(s')), where Q~ and mu~ are the clones of Critic and Actor.
    """

    world: OracleHandle
    mu: PlayerHandle | BrickHandle
    value: PlayerHandle | BrickHandle
    target: Callable[[Value], Value]


def control(
    q: QueryDraft,
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    actor: Factory | Brick,
    critic: Factory | Brick,
    follow: Cadence,
    soft: float | None,
    act_every: int,
) -> Control:
    """Declare Actor and Critic, their clones, and the pass of the Query graph in which Actor acts.

    follow: the rounds in which the clones follow their players. soft: the fraction of the distance to the player that
    one step of a clone covers; None copies the player. act_every: Actor acts in every n-th round.
    """
    world, wind = q.oracle("Nature", nature), q.oracle("Noise", noise)
    mu, value = q.player("Actor", actor), q.player("Critic", critic)
    old_mu = q.clone("Actor~", mu, soft=soft, cadence=follow)
    old_value = q.clone("Critic~", value, soft=soft, cadence=follow)
    with q.query_pass("act", every=act_every):
        world.step(q.operator("perturb", torch.add)(mu(world.observe()), wind()))
    return Control(world, mu, value, lambda after: old_value(after, old_mu(after)))


@typed
def dac(
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    actor: Factory | Brick,
    critic: Factory | Brick,
    deviator: Factory | Brick,
    *,
    gamma: float = 0.99,
    soft: float | None = 0.005,
    clone_every: int = 1,
    act_every: int = 1,
    learn_from: int = 0,
) -> Grammar:
    """Make the grammar of Deviator-Actor-Critic. The players are Actor mu(s), Critic Q(s, a) and Deviator G(s, a).

    Deviator learns dQ/da. Clones of Actor and Critic give the target of the loss. Each of the three is a player, or a
    brick (a group of players). nature: questions observe() -> s; step(a); replay() -> s, a, r, s', terminated. noise:
    an oracle whose first question answers eps in the shape of the actions. Actor acts every `act_every` rounds; the
    players learn in every round from round `learn_from` on.
    The eps in the loss is a - mu(s): the action that Nature took and stored, minus the action of the current policy.
    In the Response graph, no gradient of the Bellman gradient error (the loss BGE) reaches Actor. Actor receives -G /
    batch, where G is Deviator's output at mu(s).
    """
    q = QueryDraft()
    game = control(q, nature, noise, actor, critic, Cadence(clone_every, learn_from), soft, act_every)
    slope = q.player("Deviator", deviator)

    with q.query_pass("learn", start=learn_from):
        state, action, reward, after, terminated = game.world.replay()
        played = game.mu(state)
        g = slope(state, played)
        deviation = q.operator("deviation", torch.sub)(action, played)
        bootstrap = game.target(after)
        error = q.loss("BGE", bellman_gradient_error, gamma=gamma)
        objective = minimise(error(reward, terminated, bootstrap, game.value(state, played), g, deviation))

    r = chain_rule(
        q,
        objective,
        edit=cut_into("Actor"),
        answers={played: lambda r: r.map(over_batch, r.tap(g), factor=-1.0, name="ascend G")},
    )
    query = q.graph()
    return Grammar("dac", query, r, objective, promises("BGE", played, g).regrouped(query.players_in))
