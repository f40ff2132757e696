"""The conformance test of Gymnasium environments: a function that users can run on their own environment."""

from contextlib import closing
from typing import TypeAlias

import numpy as np
import torch

from antiphon.envs.environment import FlatEnvironment, Keywords, Name, make, title
from antiphon.envs.gymnasium import nature
from antiphon.errors import OracleError
from antiphon.grammars.typed import typed
from antiphon.testing.oracle import check_oracle

_STEPS = 30

Played: TypeAlias = list[np.ndarray]
"""A recorded episode: the first observation, then for each step (observation, reward, terminated, truncated)."""


@typed
def check_environment(id: Name, *, keywords: Keywords | None = None) -> None:
    """Test whether an environment can be used for training and evaluation, with a few dozen random actions.

    id, keywords: arguments of `gymnasium.make`. Observations must lie in the declared space, and all numbers must be
    finite. Equal seeds and actions must give equal results, also after other episodes. The environment must not draw
    from global random streams. The oracle that `antiphon.envs.nature` makes of it must pass `check_oracle`.
    Returns None if all rules hold. Otherwise raises OracleError, whose message names the broken rule, what the
    environment did, and the remedy.
    """
    check_oracle(nature(id, keywords=keywords, envs=2, batch=4, capacity=16, warmup=0), continues=False)
    given = keywords or {}
    with closing(make(id, given)) as fresh, closing(make(id, given)) as used:
        _play(used, seed=1)
        _compare(_play(fresh, seed=2), _play(used, seed=2), title(id))


def _play(environment: FlatEnvironment, seed: int) -> Played:
    generator, actions = torch.Generator().manual_seed(seed), environment.actions
    played = [environment.reset(seed)]
    for _ in range(_STEPS):
        after, *rest = environment.step(actions.to_box(actions.draw(1, generator))[0])
        played.append(np.append(after, rest))
        if rest[1] or rest[2]:
            break
    return played


def _compare(fresh: Played, used: Played, who: str) -> None:
    for step, (one, other) in enumerate(zip(fresh, used, strict=False)):
        if not np.allclose(one, other, rtol=1e-5, atol=1e-6):
            raise OracleError(
                f"{who} remembers earlier episodes: expected an episode to follow from its seed and its actions alone; "
                f"one that came after another differed from the same one in a fresh environment, in step {step}. Reset "
                "everything in reset. What has to outlive an episode, like running statistics, is in no checkpoint and "
                "begins anew in evaluation."
            )
