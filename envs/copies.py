"""Copies of one environment that step together: in this process, or each in a process of its own.

Gymnasium's vector environments are not used, for three reasons. They merge the `info` of all copies, which is not
needed here and may not fit together. Their processes inherit the signal handlers of this process. They wait for their
processes without a deadline.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple, Protocol, final

import numpy as np

from antiphon.envs.environment import FlatEnvironment, Keywords, Name, Repeated, make
from antiphon.envs.repeating import Beginning


class Advance(NamedTuple):
    """The result of one step of one copy of an environment. If the episode ends, the same step resets the copy.

    Gymnasium calls this SAME_STEP. after: the true next observation. observed: the observation for the next action; if
    the episode ended, it is the first observation of the next episode. Both are float32, (width,). beginning: how the
    next episode began, if the episode ended.
    """

    after: np.ndarray
    observed: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    beginning: Beginning = None


class Saved(NamedTuple):
    """A saved episode of one copy: the arguments of `FlatEnvironment.repeat`."""

    beginning: Beginning
    actions: Sequence[np.ndarray] | np.ndarray
    expected: np.ndarray
    seed: int


class Copies(Protocol):
    """Several copies of one environment that step together."""

    def reset(self, seed: int) -> list[np.ndarray]:
        """Begin an episode in every copy, copy i with the seed `seed + i`. Returns the first observations."""
        ...

    def begin_step(self, actions: Sequence[np.ndarray] | np.ndarray, cut: np.ndarray) -> None:
        """Begin one step in every copy, with one action each. Does not wait for the copies.

        cut: whether the episode of each copy ends after this step, whatever the environment says, (envs,).
        """
        ...

    def end_step(self) -> list[Advance]:
        """Wait until every copy has made the step that was begun."""
        ...

    def repeat(self, episodes: Sequence[Saved]) -> list[Repeated]:
        """Repeat a saved episode in every copy, or begin a new one where that fails. See `FlatEnvironment.repeat`."""
        ...

    def close(self) -> None:
        """Close all copies. May be called twice."""
        ...


@final
class Together:
    """Runs all copies of an environment in this process, one after the other."""

    def __init__(self, name: Name, keywords: Keywords, count: int) -> None:
        with ExitStack() as stack:  # if a copy cannot be made, those before are closed
            self._copies = [stack.enter_context(closing(make(name, keywords))) for _ in range(count)]
            self._open = stack.pop_all()
        self._orders: list[tuple[np.ndarray, bool]] = []

    def reset(self, seed: int) -> list[np.ndarray]:
        """Begin an episode in every copy, copy i with the seed `seed + i`. Returns the first observations."""
        return [copy.reset(seed + index) for index, copy in enumerate(self._copies)]

    def begin_step(self, actions: Sequence[np.ndarray] | np.ndarray, cut: np.ndarray) -> None:
        """Store one action for each copy, and whether its episode is cut after the step, (envs,).

        The copies make the step in `end_step`, because they run in this process.
        """
        self._orders = list(zip(actions, cut.tolist(), strict=True))

    def end_step(self) -> list[Advance]:
        """Make the step that was begun in every copy, and return the results."""
        return [advance(copy, *order) for copy, order in zip(self._copies, self._orders, strict=True)]

    def repeat(self, episodes: Sequence[Saved]) -> list[Repeated]:
        """Repeat a saved episode in every copy, or begin a new one where that fails. See `FlatEnvironment.repeat`."""
        return [copy.repeat(*episode) for copy, episode in zip(self._copies, episodes, strict=True)]

    def close(self) -> None:
        """Close all copies. May be called twice."""
        self._open.close()


def advance(environment: FlatEnvironment, action: np.ndarray, cut: bool) -> Advance:
    """Make one step of an environment, and reset it if the episode ended, or if `cut` is true."""
    after, reward, terminated, truncated = environment.step(action)
    if not (terminated or truncated or cut):
        return Advance(after, after, reward, terminated, truncated)
    beginning = environment.beginning()
    return Advance(after, environment.reset(), reward, terminated, truncated, beginning)
