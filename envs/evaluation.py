"""Returns of a deterministic policy: an explicit reset per seed, many episodes in lockstep."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from antiphon.envs.environment import FlatEnvironment, Keywords, Name, make, title
from antiphon.errors import OracleError


def episode_returns(
    id: Name,
    policy: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    *,
    keywords: Keywords | None = None,
    max_steps: int | None = None,
) -> list[float]:
    """The unscaled return of one episode per seed, in the order of the seeds.

    policy: observations (n, observation) float32 -> actions (n, action), in the units of `nature`; it is asked once per
    step for all episodes that still run, so n falls. Each seed has an environment of its own, reset once with it: a
    vector environment would ignore the seeds of all resets but the first. max_steps: cuts episodes that last longer;
    without it an environment without a time limit may run forever.
    Raises OracleError when an environment cannot be made or raises, or for actions of another shape or not finite.
    """
    environments: list[FlatEnvironment] = []
    try:
        for _ in seeds:
            environments.append(make(id, keywords or {}))
        return _play(environments, policy, seeds, max_steps, title(id))
    finally:
        for environment in environments:
            environment.close()


def _play(
    environments: list[FlatEnvironment],
    policy: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    max_steps: int | None,
    who: str,
) -> list[float]:
    returns = [0.0] * len(environments)
    observed = [one.reset(seed=int(seed))[0] for one, seed in zip(environments, seeds, strict=True)]
    running, steps = list(range(len(environments))), 0
    while running and (max_steps is None or steps < max_steps):
        actions = _actions(environments[0], policy, np.stack([observed[index] for index in running]), who)
        still = []
        for index, action in zip(running, actions, strict=True):
            observed[index], reward, terminated, truncated, _ = environments[index].step(action)
            returns[index] += reward
            if not (terminated or truncated):
                still.append(index)
        running, steps = still, steps + 1
    return returns


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
