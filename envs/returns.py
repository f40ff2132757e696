"""Returns of a deterministic policy: one episode per seed, all episodes played step by step together."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from antiphon.envs.environment import FlatEnvironment, Keywords, Name, make, title
from antiphon.errors import OracleError
from antiphon.grammars.numbers import Count
from antiphon.grammars.seeds import forked
from antiphon.grammars.typed import typed

MAX_STEPS = 10_000
"""Default number of steps after which an episode of an evaluation is cut."""


class EpisodeReturns(NamedTuple):
    """The unscaled returns of several episodes, in the order of their seeds.

    cut: number of episodes that were ended at the largest number of steps; their returns are partial.
    """

    returns: list[float]
    cut: int


@typed
def episode_returns(
    id: Name,
    policy: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    *,
    keywords: Keywords | None = None,
    max_steps: Count = MAX_STEPS,
) -> list[float]:
    """Play one episode of the policy per seed, and return the unscaled returns. Warn if some episodes were cut.

    id: the Gymnasium environment. policy: a function of observations, (n, observation), that returns actions,
    (n, action). keywords: arguments for the environment. max_steps: number of steps after which an episode is cut.
    """
    returns, cut = played_episodes(id, policy, seeds, keywords=keywords, max_steps=max_steps)
    if cut:
        warnings.warn(
            f"{title(id)}: {cut} of {len(returns)} episodes were cut after {max_steps} steps, and their returns lack "
            "the rest. Raise `max_steps`, or give the environment a time limit.",
            stacklevel=2,
        )
    return returns


@typed
def played_episodes(
    id: Name,
    policy: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    *,
    keywords: Keywords | None = None,
    max_steps: Count = MAX_STEPS,
) -> EpisodeReturns:
    """Play one episode of the policy per seed, and return the unscaled returns in the order of the seeds.

    policy: observations (n, observation) float32 -> actions (n, action), in [-1, 1] for a dimension with two bounds,
    else in the units of the environment. The policy is called once per step for all episodes that still run, so n
    decreases. Each seed has its own environment, which is reset once with that seed, because a vector environment would
    use only the seed of the first reset. max_steps: longer episodes are cut, so that environments without a time limit
    can be evaluated. Raises OracleError if an environment cannot be made or raises, or if actions have a wrong shape or
    are not finite.
    """
    # The streams are forked, because environments and policies may draw from a global stream.
    with forked(seeds[0] if seeds else 0), ExitStack() as stack:
        environments = [stack.enter_context(closing(make(id, keywords or {}))) for _ in seeds]
        return _play(environments, policy, seeds, max_steps, title(id))


def _play(
    environments: list[FlatEnvironment],
    policy: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    max_steps: int,
    who: str,
) -> EpisodeReturns:
    returns = [0.0] * len(environments)
    observed = [one.reset(int(seed)) for one, seed in zip(environments, seeds, strict=True)]
    running, steps = list(range(len(environments))), 0
    while running and steps < max_steps:
        actions = _actions(environments[0], policy, np.stack([observed[index] for index in running]), who)
        still = []
        for index, action in zip(running, actions, strict=True):
            observed[index], reward, terminated, truncated = environments[index].step(action)
            returns[index] += reward
            if not (terminated or truncated):
                still.append(index)
        running, steps = still, steps + 1
    return EpisodeReturns(returns, len(running))


def _actions(
    environment: FlatEnvironment, policy: Callable[[Tensor], Tensor], observed: np.ndarray, who: str
) -> np.ndarray:
    with torch.no_grad():
        played = policy(torch.from_numpy(observed))
    expected = (len(observed), environment.actions.width)
    if not isinstance(played, Tensor) or tuple(played.shape) != expected or not torch.isfinite(played).all():
        arrived = f"shape {tuple(played.shape)}" if isinstance(played, Tensor) else f"a {type(played).__name__}"
        raise OracleError(
            f"{who}: the policy answered {arrived}; expected finite actions of shape {expected}. "
            "Evaluate with the player that was trained on this environment."
        )
    units = environment.actions.clip(played.detach().to(torch.float32).numpy())
    return environment.actions.to_box(units)
