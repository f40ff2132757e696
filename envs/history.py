"""What is needed to repeat the current episodes of an environment: how each began, and the actions since then.

The state of a simulator cannot be saved in general. It is a function of how its episode began and of the actions, if
all its randomness comes from the generator that Gymnasium gives it. An environment that remembers more than its current
episode has methods `state` and `load`, as an oracle has.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from antiphon.grammars.oracle import State

Beginning: TypeAlias = int | dict[str, Any] | None
"""How an episode began.

An integer: by a reset with this seed. A dict: by a reset without seed; it holds the state of the environment's random
generator before that ("generator"), and what the environment's own method `state` returned ("own"). None: unknown, so
the episode cannot be repeated.
"""
LONGEST = 100_000
"""Steps of an episode that are kept. A longer episode cannot be repeated."""


@final
class Histories:
    """Keeps the beginning and the actions of the current episode of every copy of an environment.

    The actions are in the units of the players, float32, (envs, width) per step.
    """

    def __init__(self, envs: int, width: int) -> None:
        self._envs, self._width = envs, width
        self.begin([None] * envs)

    def begin(self, beginnings: Sequence[Beginning]) -> None:
        """Note that every copy has begun an episode."""
        self._beginnings = list(beginnings)
        self._ages = [0] * self._envs
        self._actions: list[np.ndarray] = []

    def add(self, actions: np.ndarray, ended: Sequence[bool], beginnings: Sequence[Beginning]) -> None:
        """Note one step of every copy. beginnings: how the next episode of each copy began whose episode ended."""
        self._actions.append(actions.copy())
        for index in range(self._envs):
            self._ages[index] += 1
            if ended[index]:
                self._ages[index], self._beginnings[index] = 0, beginnings[index]
            elif self._ages[index] > LONGEST:
                self._beginnings[index] = None
        kept = min(max(self._ages), LONGEST)
        if len(self._actions) > 2 * kept + 64:  # rarely, because it costs as much as it keeps
            del self._actions[: len(self._actions) - kept]

    def restart(self, anew: Sequence[bool], beginnings: Sequence[Beginning]) -> None:
        """Note that some copies have begun another episode. anew: which. beginnings: how, for every copy."""
        for index in range(self._envs):
            if anew[index]:
                self._ages[index], self._beginnings[index] = 0, beginnings[index]

    def of(self, index: int) -> np.ndarray:
        """Return the actions of the current episode of a copy, (steps, width)."""
        age = self._ages[index]
        return np.stack(self._actions[-age:])[:, index] if age else np.empty((0, self._width), np.float32)

    def state(self) -> State:
        """Return the beginnings, and the actions of all copies since the longest of the current episodes began."""
        kept = min(max(self._ages), LONGEST)
        shape = (0, self._envs, self._width)
        actions = np.stack(self._actions[-kept:]) if kept else np.empty(shape, np.float32)
        return {"beginnings": list(self._beginnings), "ages": list(self._ages), "actions": torch.from_numpy(actions)}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        actions: Tensor = state["actions"]
        self._beginnings, self._ages = list(state["beginnings"]), list(state["ages"])
        self._actions = list(actions.numpy().copy())

    @property
    def beginnings(self) -> Sequence[Beginning]:
        """How the current episode of each copy began."""
        return self._beginnings
