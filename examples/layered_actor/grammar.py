"""DAC whose Actor is a backpropagation grammar with one player per layer. It is a brick of the larger grammar.

This file has only the topology. Critic and Deviator are one player each; Actor has one player per layer. The last layer
receives -G, which Deviator estimates; the other layers receive the backpropagated gradients of it. So an exact grammar
is part of an estimating one. The border between player and game is a choice (essay, Remark 3), and no gradient depends
on it: `coarsen(game, "Actor", "Actor")` is DAC with a single module as Actor.
"""

from collections.abc import Sequence

from torch import nn

from antiphon import Dense, Factory, Grammar, OracleDeclaration, dac
from antiphon.grammars import Brick, brick
from antiphon.grammars.library import StateAction


def layered_actor(state: int, action: int, widths: Sequence[int] = (64, 64)) -> Brick:
    """The policy mu(s): (batch, state) -> (batch, action) in (-1, 1). Players Dense1, ..., Output, then tanh."""
    layers = {}
    inputs = state
    for index, width in enumerate(widths, start=1):
        layers[f"Dense{index}"] = Factory.of(Dense, inputs, width)
        inputs = width
    return brick({**layers, "Output": Factory.of(nn.Linear, inputs, action), "Squash": Factory.of(nn.Tanh)})


def layered_dac(
    nature: OracleDeclaration,
    noise: OracleDeclaration,
    state: int,
    action: int,
    widths: Sequence[int] = (64, 64),
    *,
    act_every: int = 1,
    learn_from: int = 0,
    gamma: float = 0.98,
) -> Grammar:
    """Make the grammar Deviator-Actor-Critic (DAC) with one player for each layer of Actor.

    The players are Actor.Dense1, ..., Actor.Output, Critic and Deviator. Each layer of Actor has a clone.
    nature: an oracle of the environment. noise: an oracle of the noise that is added to the actions. state, action:
    number of dimensions of a state and of an action. widths: widths of the hidden layers of all networks. act_every:
    number of rounds between two actions. learn_from: the round in which learning starts. gamma: the discount factor.
    """
    return dac(
        nature,
        noise,
        layered_actor(state, action, widths),
        Factory.of(StateAction, state, action, 1, tuple(widths)),
        Factory.of(StateAction, state, action, action, tuple(widths)),
        gamma=gamma,
        act_every=act_every,
        learn_from=learn_from,
    )
