"""Copies of one environment that step together: in this process, or each in a process of its own.

Gymnasium's own vector environments are not used: they collect every copy's `info`, which nobody here reads and which
need not fit together; and their processes inherit this process's signal handlers, and are waited for without an end.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, final

import numpy as np

from antiphon.envs.environment import FlatEnvironment, Keywords, Name, make


class Advance(NamedTuple):
    """One step of one copy. An episode that ends is followed by a reset in the same step (SAME_STEP in Gymnasium).

    after: the true next observation; observed: what the next action answers, which is the first observation of the next
    episode where this one ended. Both (width,) float32.
    """

    after: np.ndarray
    observed: np.ndarray
    reward: float
    terminated: bool
    truncated: bool


class Copies(Protocol):
    """Several copies of one environment."""

    def reset(self, seed: int) -> list[np.ndarray]:
        """Begin an episode in every copy, i of them seeded by the seed plus i; their first observations."""
        ...

    def step(self, actions: Sequence[np.ndarray]) -> list[Advance]:
        """One step of every copy, with an action each."""
        ...

    def close(self) -> None:
        """Close them all. May be called twice."""
        ...


@final
class Together:
    """All copies in this process, one after the other."""

    def __init__(self, name: Name, keywords: Keywords, count: int) -> None:
        self._copies = [make(name, keywords) for _ in range(count)]

    def reset(self, seed: int) -> list[np.ndarray]:
        """See `Copies`."""
        return [copy.reset(seed + index) for index, copy in enumerate(self._copies)]

    def step(self, actions: Sequence[np.ndarray]) -> list[Advance]:
        """See `Copies`."""
        return [advance(copy, action) for copy, action in zip(self._copies, actions, strict=True)]

    def close(self) -> None:
        """See `Copies`."""
        while self._copies:
            self._copies.pop().close()


def advance(environment: FlatEnvironment, action: np.ndarray) -> Advance:
    """One step, and the reset that follows an episode's end."""
    after, reward, terminated, truncated = environment.step(action)
    observed = environment.reset() if terminated or truncated else after
    return Advance(after, observed, reward, terminated, truncated)
