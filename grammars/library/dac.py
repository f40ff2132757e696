"""Grammar 4, Deviator-Actor-Critic: the slope of the value is learned, not derived (essay, section 2.4)."""

import torch

from antiphon.grammars.brick import Brick
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, cut_into
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import UNKNOWN, Estimated, Exact, Guarantee, Insulated, Learned, PlayerLoss, promised
from antiphon.grammars.losses import bellman_gradient_error, descended_slope
from antiphon.grammars.maps import over_batch
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed


def promises(loss: str, action: Value, slope: Value) -> Guarantee:
    """DAC's promises. loss: the name of the regression. Actor receives the value `slope` about its `action`."""
    return promised(
        Learned(("Critic", "Deviator"), sense="Critic's Q and Deviator's G approach the value and its slope"),
        Estimated(("Actor",), UNKNOWN, sense="-G estimates the gradient of minus the value in the action"),
        Exact(("Critic", "Deviator"), sense="the gradient of the regression's error"),
        Exact(("Actor",), PlayerLoss.of(descended_slope, action, slope), sense="up the slope that G tells"),
        Insulated(("Actor",), (loss, "Critic")),
        Insulated(("Critic", "Deviator"), ("Actor",)),
    )


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
    """Actor mu(s), Critic Q(s, a), Deviator G(s, a), with clones of Actor and Critic in the target.

    Each of the three is a player, or a brick of several.
    nature: questions observe() -> s; step(a); replay() -> s, a, r, s', terminated. noise: its first question answers
    eps in the shape of the actions. Acting plays every `act_every` rounds; learning plays every round from `learn_from`
    on.
    The eps in the loss is a - mu(s): the action that Nature took and stored, minus the action of the current policy.
    R's edits: no gradient of the Bellman gradient error flows into mu. Actor receives -G / batch, a value that Q
    computed.
    """
    q = QueryDraft()
    world, wind = q.oracle("Nature", nature), q.oracle("Noise", noise)
    mu, value, slope = q.player("Actor", actor), q.player("Critic", critic), q.player("Deviator", deviator)
    follow = Cadence(clone_every, learn_from)
    old_mu = q.clone("Actor~", mu, soft=soft, cadence=follow)
    old_value = q.clone("Critic~", value, soft=soft, cadence=follow)

    with q.query_pass("act", every=act_every):
        world.step(q.operator("perturb", torch.add)(mu(world.observe()), wind()))

    with q.query_pass("learn", start=learn_from):
        state, action, reward, after, terminated = world.replay()
        played = mu(state)
        g = slope(state, played)
        deviation = q.operator("deviation", torch.sub)(action, played)
        bootstrap = old_value(after, old_mu(after))
        error = q.loss("BGE", bellman_gradient_error, gamma=gamma)
        objective = minimise(error(reward, terminated, bootstrap, value(state, played), g, deviation))

    r = chain_rule(
        q,
        objective,
        edit=cut_into("Actor"),
        answers={played: lambda r: r.map(over_batch, r.tap(g), factor=-1.0, name="ascend G")},
    )
    query = q.graph()
    return Grammar("dac", query, r, objective, promises("BGE", played, g).regrouped(query.players_in))
