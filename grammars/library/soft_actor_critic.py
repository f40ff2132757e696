"""Soft actor-critic: Actor is random, and its objective has a further term, its entropy.

Haarnoja et al. 2018, Soft actor-critic: off-policy maximum entropy deep reinforcement learning with a stochastic actor.
"""

from functools import partial

import torch
from torch import Tensor

from antiphon.grammars.bellman import bellman_error
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import UNKNOWN, Estimated, Exact, Guarantee, Insulated, Learned, promised
from antiphon.grammars.library.control import later, remember, replay
from antiphon.grammars.losses import squared_bellman_error
from antiphon.grammars.numbers import Positive
from antiphon.grammars.objective import maximise, minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed

CRITICS = ("Critic", "Twin")
"""The names of the two critics."""


@typed
def soft_actor_critic(
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    draws: OracleDeclaration,
    actor: Factory,
    critic: Factory,
    *,
    temperature: Positive = 0.2,
    gamma: float = 0.99,
    soft: float | None = 0.005,
    clone_every: int = 1,
    act_every: int = 1,
    learn_from: int = 0,
    encoder: Factory | None = None,
) -> Grammar:
    """Make the grammar of soft actor-critic. The players are Actor, Critic and Twin.

    nature: questions observe() -> s; step(a); replay() -> s, a, r, s', terminated. noise, draws: oracles whose first
    question answers standard normal eps in the shape of the actions: of the copies for noise, of a batch for draws.
    actor: a module of (s, eps) that plays the action and its log-probability, (batch,). critic: a module of (s, a) that
    plays (batch, 1), for Critic and for Twin.
    The value of a policy is its return plus `temperature` (alpha) times its entropy. Critics minimise the Bellman error
    with the target r + gamma (min Q~(s', a') - alpha log pi(a' | s')), where a' is Actor's and is held fixed. Actor
    maximises the mean of min Q(s, a) - alpha log pi(a | s): the derivative of the critics reaches it through its
    action. The Response graph is the chain rule of these two objectives; each player receives its own.
    Actor acts every `act_every` rounds; the players learn in every round from round `learn_from` on. Every
    `clone_every` rounds, the clones of the critics move toward them by the fraction `soft`. encoder: a player whose
    output is the state of all others, and which learns with the critics.
    """
    q = QueryDraft()
    world, wind, dice = q.oracle("Nature", nature), q.oracle("Noise", noise), q.oracle("Draws", draws)
    sight = () if encoder is None else (q.player("Encoder", encoder),)
    mu, critics = q.player("Actor", actor), [q.player(name, critic) for name in CRITICS]
    old = partial(q.clone, soft=soft, cadence=Cadence(clone_every, learn_from))
    old_sight, olds = [old("Encoder~", each) for each in sight], [old(f"{each.name}~", each) for each in critics]
    with q.query_pass("act", every=act_every):
        shown = world.observe()
        for encode in sight:
            shown = encode(shown)
        world.step(mu(shown, wind())[0])
    with q.query_pass("learn", start=learn_from):
        seen = replay(world, (*sight, *old_sight))
        then, rarity = mu(seen.after, dice())
        value = q.operator("soft value", soft_value, temperature=temperature)
        target = later(q, world, value(*(each(seen.after, then) for each in olds), rarity))
        told = [(*seen.outcome, target, each(seen.state, seen.action)) for each in critics]
        error = q.loss("BE", squared_bellman_error, gamma=gamma)
        errors = [error(*each, *seen.weight) for each in told]
        remember(q, world, bellman_error, *told[0], gamma=gamma)
        played, rarity = mu(seen.state, dice())
        worth = q.loss("Worth", torch.mean)(value(*(each(seen.state, played) for each in critics), rarity))
    learners = (*(each.name for each in sight), *CRITICS)
    objective = minimise(*errors, held=(target,), players=learners) + maximise(worth, players=("Actor",))
    return Grammar("soft-actor-critic", q.graph(), chain_rule(q, objective), objective, _promises(learners))


def _promises(learners: tuple[str, ...]) -> Guarantee:
    return promised(
        Learned(CRITICS, sense="the critics approach the soft value of the actions that were taken"),
        Estimated(("Actor",), UNKNOWN, sense="the slope of the critics, whatever that is of the soft value"),
        Exact(sense="the gradient of the player's own objective"),
        Insulated(("Actor",), ("BE",)),
        Insulated(learners, ("Worth", "Actor")),
    )


def soft_value(one: Tensor, two: Tensor, log_probability: Tensor, temperature: float) -> Tensor:
    """Return min(Q1, Q2) - temperature * log pi: (batch, 1), (batch, 1), (batch,) -> (batch, 1)."""
    return torch.minimum(one, two) - temperature * log_probability.unsqueeze(-1)
