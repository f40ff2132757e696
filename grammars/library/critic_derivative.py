"""Deterministic policy gradients, the method before Grammar 4: Actor receives the derivative of Critic's Q with respect
to the action (essay, section 2.4).

Silver et al. 2014, Deterministic policy gradient algorithms; with clones and replay, Lillicrap et al. 2016.
"""

import torch

from antiphon.grammars import (
    UNKNOWN,
    Cadence,
    Estimated,
    Exact,
    Factory,
    Grammar,
    Insulated,
    Learned,
    OracleDeclaration,
    PlayerLoss,
    QueryDraft,
    chain_rule,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.library.dac import control
from antiphon.grammars.losses import squared_bellman_error
from antiphon.grammars.maps import negate


@typed
def critic_derivative(
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    actor: Factory,
    critic: Factory,
    *,
    gamma: float = 0.99,
    soft: float | None = 0.005,
    clone_every: int = 1,
    act_every: int = 1,
    learn_from: int = 0,
) -> Grammar:
    """Make the grammar of deterministic policy gradients. The players are Actor mu(s) and Critic Q(s, a).

    Clones of both give the target of Critic's loss.
    nature: an oracle with the questions observe() -> s; step(a); replay() -> s, a, r, s', terminated. noise: an oracle
    whose first question answers noise in the shape of the actions. actor, critic: factories of the modules. gamma: the
    discount factor. Actor acts every `act_every` rounds; the players learn in every round from round `learn_from` on.
    Every `clone_every` rounds, the clones move toward their players by the fraction `soft`; None copies the players.
    Critic is asked at the action that was taken, where its error is measured, and again at mu(s). If the error were
    measured at mu(s) only, as in `dac`, nothing would determine the derivative of Q with respect to the action. The
    Response graph sends -dQ/da / batch at mu(s) to Actor, from a vector-Jacobian product of Critic. This product sends
    nothing to Critic's parameters, because Critic would then increase its own Q.
    """
    q = QueryDraft()
    game = control(q, nature, noise, actor, critic, Cadence(clone_every, learn_from), soft, act_every)

    with q.query_pass("learn", start=learn_from):
        state, action, reward, after, terminated = game.world.replay()
        bootstrap = game.target(after)
        error = q.loss("BE", squared_bellman_error, gamma=gamma)
        objective = minimise(error(reward, terminated, bootstrap, game.value(state, action)))
        played = game.mu(state)
        worth = game.value(state, played)
        mean_worth = q.loss("Worth", torch.mean)(worth)

    r = chain_rule(
        q,
        objective,
        answers={
            played: lambda r: r.product(worth, r.product(mean_worth, r.seed(mean_worth, -1.0)).toward(0)).toward(1)
        },
    )
    guarantee = promised(
        Learned(("Critic",), sense="Critic's Q approaches the value of the actions that were taken"),
        Estimated(("Actor",), UNKNOWN, sense="the slope of Critic's Q, whatever that is of the value"),
        Exact(("Critic",), sense="the gradient of the Bellman error"),
        Exact(("Actor",), PlayerLoss.of(negate, mean_worth), sense="up the slope of Critic's own Q"),
        Insulated(("Actor",), ("BE",)),
        Insulated(("Critic",), ("Worth", "Actor")),
    )
    return Grammar("critic-derivative", q.graph(), r, objective, guarantee)
