"""Returns over several steps, computed from single transitions in the order in which they were stored."""

from typing import final

import torch
from torch import Tensor


@final
class NStep:
    """Adds up the rewards of up to `steps` consecutive steps of one copy of an environment.

    envs: number of copies; each step stores one transition of every copy, in the order of the copies. gamma: the
    discount factor.
    """

    def __init__(self, steps: int, envs: int, gamma: float) -> None:
        self.steps, self.envs, self._gamma = steps, envs, gamma

    def returns(self, rows: Tensor, newest: int, reward: Tensor, ended: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for the steps at `rows`: the discounted rewards from there, the row of the last step, the discount.

        A sum has k terms: k is `steps`, or less if the episode ends before, or if later steps are not stored yet. The
        discount is gamma^(k-1), the weight of the last reward. All results are (n,).
        newest: the row of the newest transition. reward, ended: columns of a ring buffer of transitions, (capacity,);
        `ended` is 1 for the last step of an episode, else 0.
        """
        capacity = len(reward)
        later = (newest - rows).remainder(capacity) // self.envs
        total, last, discount = reward[rows], rows, torch.ones_like(reward[rows])
        going = ended[rows] == 0
        for step in range(1, self.steps):
            going = going & (later >= step)
            row = (rows + step * self.envs) % capacity
            # A row that was never stored may hold NaN, so it is left out and not multiplied by zero.
            total = total + torch.where(going, self._gamma**step * reward[row], 0.0)
            last, discount = torch.where(going, row, last), torch.where(going, self._gamma**step, discount)
            going = going & (ended[row] == 0)
        return total, last, discount
