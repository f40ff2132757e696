"""How Nature remembers transitions and scales their numbers: the settings that are off by default."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch

from antiphon.envs.n_step import NStep
from antiphon.envs.normalisation import ObservationScale, RewardScale, Scales
from antiphon.envs.replay import Replay
from antiphon.grammars.numbers import Count, Fraction
from antiphon.grammars.typed import typed
from antiphon.oracles.noise import Annealing

Storage: TypeAlias = Literal["float32", "float16", "uint8"]
"""Dtypes in which a replay memory can store observations."""


@typed
@dataclass(frozen=True)
class ReplayOptions:
    """Settings of Nature's replay memory and of its running statistics. With the defaults, transitions are drawn
    uniformly, as they were observed.

    normalize_observations: scale observations by the running mean and variance of all observations so far.
    normalize_rewards: divide rewards by the running deviation of the return, discounted by `gamma`. The memory holds
    unscaled numbers, and each answer is scaled by the statistics of that moment. Nature's state contains them.
    n_step: the rewards of up to this number of steps are added up, discounted by `gamma`; fewer at the end of an
    episode, and for the newest steps. s' is then the observation after the last of these steps.
    storage: dtype of observations in the memory. "float16" rounds; "uint8" takes integers from 0 to 255 only.
    priority_alpha: above 0, a transition is drawn with a probability proportional to (|error| + 1e-4)^alpha.
    priority_beta: exponent of the importance weights, which may change with the rounds.
    """

    normalize_observations: bool = False
    normalize_rewards: bool = False
    gamma: Fraction = 0.99
    n_step: Count = 1
    storage: Storage = "float32"
    priority_alpha: Fraction = 0.0
    priority_beta: Fraction | Annealing = 0.4

    @property
    def any(self) -> bool:
        """Whether any setting is on."""
        return replace(self, gamma=PLAIN.gamma, priority_beta=PLAIN.priority_beta) != PLAIN

    @property
    def questions(self) -> tuple[str, ...]:
        """The names of the further questions that Nature answers about the last replay."""
        discounts = ("discount",) if self.n_step > 1 else ()
        return (*discounts, "weight", "prioritise") if self.priority_alpha else discounts

    def scales(self, observation: int, envs: int) -> Scales | None:
        """Make the running statistics of `envs` copies; None without normalisation. observation: width of a vector."""
        shown = ObservationScale(observation) if self.normalize_observations else None
        paid = RewardScale(envs, self.gamma) if self.normalize_rewards else None
        return Scales(shown, paid) if shown is not None or paid is not None else None

    def replay(self, capacity: int, observation: int, action: int, envs: int, who: str) -> Replay:
        """Make the memory of `capacity` transitions of `envs` copies.

        observation, action: widths of the vectors. who: name of the environment in errors.
        """
        return Replay(
            capacity,
            observation,
            action,
            who=who,
            storage=getattr(torch, self.storage),
            n_step=NStep(self.n_step, envs, self.gamma) if self.n_step > 1 else None,
            priority_alpha=self.priority_alpha,
        )


PLAIN = ReplayOptions()
"""The settings by which transitions are drawn uniformly, as they were observed."""
