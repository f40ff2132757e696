"""The part of the Query graph that control grammars share: acting, replaying, and the target with its clones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from antiphon.grammars.bellman import discounted
from antiphon.grammars.brick import Brick
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.draft import BrickHandle, CloneHandle, OracleHandle, PlayerHandle, QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.guarantee import Exact, Guarantee, Insulated, promised
from antiphon.grammars.library.networks import beside
from antiphon.grammars.objective import Objective
from antiphon.grammars.oracle import OracleDeclaration

Asked: TypeAlias = PlayerHandle | CloneHandle | BrickHandle


@dataclass(frozen=True)
class Smoothing:
    """Target policy smoothing: noise is added to the action in the target (Fujimoto et al. 2018).

    noise: an oracle whose first question answers noise in the shape of a batch of actions. clip: the largest size of
    the noise. low, high: the bounds of each dimension of the action; they may be infinite.
    """

    noise: OracleDeclaration
    clip: float
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Replayed:
    """One batch of transitions from Nature's memory, as values of a Query graph.

    state, after: s and s' as Actor and the critics see them: observations, or what Encoder makes of them. outcome: the
    reward, and whether s' is terminal. weight: the weight of each transition in a mean; empty if all count alike.
    """

    state: Value
    action: Value
    outcome: tuple[Value, Value]
    after: Value
    weight: tuple[Value, ...]


@dataclass(frozen=True)
class Control:
    """The handles of Nature (`world`), Actor (`mu`) and the critics in a draft, and a function that writes the target.

    sight: Encoder, and its clone; empty without an Encoder. target: returns Q~(s', mu~(s')), (batch, 1), for replayed
    transitions, where Q~ and mu~ are clones; the least Q~ if there are several.
    """

    world: OracleHandle
    mu: Asked
    critics: tuple[Asked, ...]
    sight: tuple[Asked, ...]
    target: Callable[[Replayed], Value]


def replay(world: OracleHandle, sight: Sequence[Asked] = ()) -> Replayed:
    """Ask Nature for a batch of transitions. Call it inside the pass in which the players learn.

    sight: Encoder and its clone, which see s and s'; empty without an Encoder.
    """
    state, action, reward, after, terminated = world.replay()
    if sight:
        state, after = (each(value) for each, value in zip(sight, (state, after), strict=True))
    weight = (world.weight(),) if world.declaration.question("weight") else ()
    return Replayed(state, action, (reward, terminated), after, weight)


def later(q: QueryDraft, world: OracleHandle, value: Value) -> Value:
    """Return the value at s', (batch, 1), times the discount of the steps to s' that the loss does not count.

    Nature answers this discount if it adds up the rewards of several steps.
    """
    if world.declaration.question("discount") is None:
        return value
    return q.operator("discount", discounted)(value, world.discount())


def remember(
    q: QueryDraft, world: OracleHandle, error: Callable[..., Tensor], *inputs: Value, **keywords: float
) -> None:
    """If Nature's memory is prioritised, send it the errors of the replayed transitions: their new priorities.

    error: a function of `inputs` that returns the errors, (batch,).
    """
    if world.declaration.question("prioritise"):
        world.prioritise(q.operator("error", error, **keywords)(*inputs))


def control(
    q: QueryDraft,
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    actor: Factory | Brick,
    critics: Mapping[str, Factory | Brick],
    follow: Cadence,
    soft: float | None,
    act_every: int,
    encoder: Factory | Brick | None = None,
    smoothing: Smoothing | None = None,
) -> Control:
    """Declare Actor and the critics, their clones, and the pass of the Query graph in which Actor acts.

    critics: the factory of each critic, by name; one or two. follow: the rounds in which the clones follow their
    players. soft: the fraction of the distance to the player that one step of a clone covers; None copies the player.
    act_every: Actor acts in every n-th round. encoder: a player whose output replaces the observation for all others.
    """
    world, wind = q.oracle("Nature", nature), q.oracle("Noise", noise)
    sight = () if encoder is None else (q.player("Encoder", encoder),)
    mu, values = q.player("Actor", actor), {name: q.player(name, each) for name, each in critics.items()}
    old = partial(q.clone, soft=soft, cadence=follow)
    if sight:
        sight = *sight, old("Encoder~", sight[0])
    old_mu, old_values = old("Actor~", mu), tuple(old(f"{name}~", value) for name, value in values.items())
    jitter = None if smoothing is None else q.oracle("Smoothing", smoothing.noise)
    with q.query_pass("act", every=act_every):
        shown = world.observe()
        for encode in sight[:1]:
            shown = encode(shown)
        world.step(q.operator("perturb", torch.add)(mu(shown), wind()))

    def target(seen: Replayed) -> Value:
        then = old_mu(seen.after)
        if smoothing is not None and jitter is not None:
            limits = {"clip": smoothing.clip, "low": smoothing.low, "high": smoothing.high}
            then = q.operator("smooth", smoothed, **limits)(then, jitter())
        found = [old(seen.after, then) for old in old_values]
        least = found[0] if len(found) == 1 else q.operator("minimum", torch.minimum)(*found)
        return later(q, world, least)

    return Control(world, mu, tuple(values.values()), sight, target)


def seeing(objective: Objective) -> Guarantee:
    """Return the promises to Encoder: the gradient of the critics' objective, and nothing from Actor.

    objective: what the critics minimise, with Actor's actions held fixed.
    """
    return promised(
        Exact(("Encoder",), objective, sense="the gradient of the critics' error, with Actor's actions held"),
        Insulated(("Encoder",), ("Actor",)),
    )


def smoothed(action: Tensor, noise: Tensor, clip: float, low: Sequence[float], high: Sequence[float]) -> Tensor:
    """Return the action plus noise of size `clip` at most, clipped to the bounds: (batch, action) -> (batch, action).

    low, high: the bounds of each dimension; they may be infinite.
    """
    return torch.clamp(action + noise.clamp(-clip, clip), beside(action, low), beside(action, high))
