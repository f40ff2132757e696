"""Check the losses of a run, and the parameters of a checkpoint, for NaN and infinity."""

import math
from collections.abc import Mapping

import torch

from antiphon.coordinator.executor import Losses
from antiphon.errors import RoundError
from antiphon.grammars.oracle import State

_REMEDY = (
    "Lower the learning rate, limit what players hear (key 'agent.clip_norm'), or correct the data; with "
    'on_nonfinite = "continue" a run goes on regardless.'
)


def check_losses(losses: Mapping[str, Losses]) -> None:
    """Raise RoundError if a loss of a batch of rounds was NaN or infinite. The message names the first such round.

    losses: for each loss, the rounds in which it was computed, and its values.
    """
    wild = [
        (round, name, value)
        for name, (rounds, values) in losses.items()
        for round, value in zip(rounds, values, strict=True)
        if not math.isfinite(value)
    ]
    if wild:
        round, name, value = min(wild)
        raise RoundError(
            f"loss {name!r} was {value} in round {round}; expected a finite number. {_REMEDY}", round=round
        )


def check_parameters(states: Mapping[str, State], round: int) -> None:
    """Raise RoundError if a parameter is NaN or infinite. The message names the parameter and its player.

    states: the saved state of each player, by name. round: number of rounds run so far, for the message.
    """
    for player, state in states.items():
        for name, value in state.get("parameters", {}).items():
            if not torch.isfinite(value).all():
                raise RoundError(
                    f"parameter {name!r} of player {player!r} holds NaN or infinity after {round} rounds; expected "
                    f"finite numbers. {_REMEDY}",
                    round=round,
                )
