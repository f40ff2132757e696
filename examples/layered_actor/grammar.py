"""DAC whose Actor is a backpropagation grammar of layer players, a brick of the larger one. Topology only.

Critic and Deviator are whole networks, a player each; Actor is as many players as it has layers. What is told to the
last of them is -G, an estimate that Deviator made; below, each layer hears what backpropagation makes of that: an exact
grammar within an estimating one. Where a player ends and a game begins is a choice (essay, Remark 3), and no gradient
depends on it: `coarsen(game, "Actor", "Actor")` is DAC with a module for its Actor.
"""

from collections.abc import Sequence

from torch import nn

from antiphon import Brick, Dense, Factory, Grammar, OracleDeclaration, StateAction, brick, dac


def layered_actor(state: int, action: int, widths: Sequence[int] = (64, 64)) -> Brick:
    """mu(s), (batch, state) -> (batch, action) in (-1, 1): players Dense1, Dense2, ..., Output, and a last operator."""
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
    """Players Actor.Dense1, ..., Actor.Output, Critic and Deviator; the clone of Actor is a clone of each layer.

    nature, noise, and what is not said here: as in `dac`.
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
