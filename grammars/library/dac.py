"""Grammar 4, Deviator-Actor-Critic: a third player learns the derivative of the value with respect to the action
(essay, section 2.4).

Other methods differentiate Critic to get this derivative.
"""

import torch

from antiphon.grammars.brick import Brick
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, cut_from, cut_into
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import UNKNOWN, Estimated, Exact, Guarantee, Insulated, Learned, PlayerLoss, promised
from antiphon.grammars.library.control import control, remember, replay, seeing
from antiphon.grammars.losses import bellman_gradient, bellman_gradient_error, descended_slope
from antiphon.grammars.maps import over_batch
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed


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
    encoder: Factory | Brick | None = None,
) -> Grammar:
    """Make the grammar of Deviator-Actor-Critic. The players are Actor mu(s), Critic Q(s, a) and Deviator G(s, a).

    Deviator learns dQ/da. Clones of Actor and Critic give the target of the loss. Each of the three is a player, or a
    brick (a group of players). nature: questions observe() -> s; step(a); replay() -> s, a, r, s', terminated. noise:
    an oracle whose first question answers eps in the shape of the actions. Actor acts every `act_every` rounds; the
    players learn in every round from round `learn_from` on.
    The eps in the loss is a - mu(s): the action that Nature took and stored, minus the action of the current policy.
    In the Response graph, no gradient of the Bellman gradient error (the loss BGE) reaches Actor. Actor receives -G /
    batch, where G is Deviator's output at mu(s).
    encoder: a player that sees the observations, and whose output is the state of all others. It learns with Critic and
    Deviator; Actor sends it nothing. Nature may have the further questions discount(), weight() and prioritise(errors).
    """
    q = QueryDraft()
    follow = Cadence(clone_every, learn_from)
    game = control(q, nature, noise, actor, {"Critic": critic}, follow, soft, act_every, encoder)
    slope = q.player("Deviator", deviator)

    with q.query_pass("learn", start=learn_from):
        seen = replay(game.world, game.sight)
        played = game.mu(seen.state)
        g = slope(seen.state, played)
        deviation = q.operator("deviation", torch.sub)(seen.action, played)
        bootstrap = game.target(seen)
        told = *seen.outcome, bootstrap, game.critics[0](seen.state, played), g, deviation
        loss = q.loss("BGE", bellman_gradient_error, gamma=gamma)(*told, *seen.weight)
        remember(q, game.world, bellman_gradient, *told, gamma=gamma)

    objective = minimise(loss)
    r = chain_rule(
        q,
        objective,
        edit=cut_into("Actor") if encoder is None else (cut_into("Actor"), cut_from("Actor")),
        answers={played: lambda r: r.map(over_batch, r.tap(g), factor=-1.0, name="ascend G")},
    )
    guarantee = promises("BGE", played, g) + (promised() if encoder is None else seeing(minimise(loss, held=(played,))))
    query = q.graph()
    return Grammar("dac", query, r, objective, guarantee.regrouped(query.players_in))
