"""What Nature remembers: transitions in a ring, drawn uniformly."""

from typing import final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.oracle import State


@final
class Replay:
    """A ring of the last `capacity` transitions (s, a, r, s', terminated), preallocated, of one dtype.

    observation, action: widths. Memory is its own: what is stored is copied in, what is drawn is copied out.
    """

    def __init__(self, capacity: int, observation: int, action: int, dtype: torch.dtype = torch.float32) -> None:
        self.capacity, self._filled, self._next = capacity, 0, 0
        shapes = ((capacity, observation), (capacity, action), (capacity,), (capacity, observation), (capacity,))
        self._columns = tuple(torch.empty(shape, dtype=dtype) for shape in shapes)

    def __len__(self) -> int:
        return self._filled

    def store(self, *columns: Tensor) -> None:
        """Remember n transitions, of n rows in each column; n is at most the capacity."""
        count = len(columns[0])
        end = self._next + count
        for mine, new in zip(self._columns, columns, strict=True):
            if end <= self.capacity:
                mine[self._next : end] = new
            else:
                split = self.capacity - self._next
                mine[self._next :] = new[:split]
                mine[: count - split] = new[split:]
        self._next = end % self.capacity
        self._filled = min(self._filled + count, self.capacity)

    def sample(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """A batch (s, a, r, s', terminated) drawn uniformly with replacement, in fresh memory."""
        rows = torch.randint(self._filled, (batch,), generator=generator)
        return tuple(column.index_select(0, rows) for column in self._columns)

    def state(self) -> State:
        """The part that is filled, and where the next transition goes."""
        filled = [column[: self._filled].clone() for column in self._columns]
        return {"columns": filled, "next": self._next}

    def load(self, state: State) -> None:
        """Continue from a saved state. Raises OracleError for one of other widths, or larger than the capacity."""
        found = [tuple(column.shape) for column in state["columns"]]
        filled = found[0][0]
        expected = [(filled, *column.shape[1:]) for column in self._columns]
        if found != expected or filled > self.capacity or (filled < self.capacity and state["next"] != filled):
            raise OracleError(
                f"replay of capacity {self.capacity}: expected a state of shapes {expected}; {found} arrived. "
                "Resume with the environment and the capacity that the run was started with."
            )
        for mine, saved in zip(self._columns, state["columns"], strict=True):
            mine[:filled] = saved
        self._filled, self._next = filled, state["next"] % self.capacity
