"""Deterministic policy gradients, the method before Grammar 4: Actor receives the derivative of Critic's Q with respect
to the action (essay, section 2.4).

Silver et al. 2014, Deterministic policy gradient algorithms; with clones and replay, Lillicrap et al. 2016; with two
critics, smoothing and delay, Fujimoto et al. 2018, Addressing function approximation error in actor-critic methods.
"""

import torch

from antiphon.grammars.bellman import bellman_error
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, cut_from
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import UNKNOWN, Estimated, Exact, Guarantee, Insulated, Learned, PlayerLoss, promised
from antiphon.grammars.library.control import Control, Replayed, Smoothing, control, remember, replay, seeing
from antiphon.grammars.losses import squared_bellman_error
from antiphon.grammars.maps import negate
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed


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
    twin: bool = False,
    smoothing: Smoothing | None = None,
    delay: int = 1,
    encoder: Factory | None = None,
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
    twin: a second critic, Twin; the target is then the smaller of the two clones' values, and Actor hears of Critic
    only. smoothing: noise on the action in the target. delay: Actor learns in every n-th of these rounds. encoder: a
    player whose output is the state of all others. It learns with the critics; Actor sends it nothing.
    """
    q = QueryDraft()
    critics = {"Critic": critic, "Twin": critic} if twin else {"Critic": critic}
    follow = Cadence(clone_every, learn_from)
    game = control(q, nature, noise, actor, critics, follow, soft, act_every, encoder, smoothing)
    with q.query_pass("learn", start=learn_from):
        seen = replay(game.world, game.sight)
        objective = minimise(*_errors(q, game, seen, gamma))
        ascent = None if delay > 1 else _ascent(q, game, seen)
    if ascent is None:
        with q.query_pass("improve", every=delay, start=learn_from):
            ascent = _ascent(q, game, seen)
    played, worth, mean_worth = ascent
    r = chain_rule(
        q,
        objective,
        edit=() if encoder is None else cut_from("Actor"),
        answers={
            played: lambda r: r.product(worth, r.product(mean_worth, r.seed(mean_worth, -1.0)).toward(0)).toward(1)
        },
    )
    guarantee = _promises(tuple(critics), mean_worth) + (promised() if encoder is None else seeing(objective))
    return Grammar("critic-derivative", q.graph(), r, objective, guarantee)


def _errors(q: QueryDraft, game: Control, seen: Replayed, gamma: float) -> list[Value]:
    """Return the loss of each critic: its mean squared Bellman error at the actions that were taken."""
    target = *seen.outcome, game.target(seen)
    error = q.loss("BE", squared_bellman_error, gamma=gamma)
    values = [critic(seen.state, seen.action) for critic in game.critics]
    losses = [error(*target, value, *seen.weight) for value in values]
    remember(q, game.world, bellman_error, *target, values[0], gamma=gamma)
    return losses


def _ascent(q: QueryDraft, game: Control, seen: Replayed) -> tuple[Value, Value, Value]:
    """Return Actor's action mu(s), its value Q(s, mu(s)) by the first critic, and the mean of the values."""
    played = game.mu(seen.state)
    worth = game.critics[0](seen.state, played)
    return played, worth, q.loss("Worth", torch.mean)(worth)


def _promises(critics: tuple[str, ...], mean_worth: Value) -> Guarantee:
    return promised(
        Learned(critics, sense="Critic's Q approaches the value of the actions that were taken"),
        Estimated(("Actor",), UNKNOWN, sense="the slope of Critic's Q, whatever that is of the value"),
        Exact(critics, sense="the gradient of the Bellman error"),
        Exact(("Actor",), PlayerLoss.of(negate, mean_worth), sense="up the slope of Critic's own Q"),
        Insulated(("Actor",), ("BE", *critics[1:])),
        Insulated(critics, ("Worth", "Actor")),
    )
