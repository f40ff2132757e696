"""The replay memory of Nature: a ring buffer of transitions, drawn uniformly."""

from typing import final

import torch
from torch import Tensor

from antiphon.envs.available_memory import refuse_beyond_memory
from antiphon.errors import OracleError
from antiphon.grammars.oracle import Question, State
from antiphon.grammars.types import Batch, EdgeType


def check_capacity(who: str, capacity: int, envs: int) -> None:
    """Raise OracleError if a replay memory of this capacity cannot hold one step of every copy."""
    if capacity < envs:
        raise OracleError(f"{who}: capacity is {capacity}; expected at least {envs}, a transition per copy. Raise it.")


def replay_questions(
    observation: int, action: int, envs: Batch, batch: Batch, dtype: torch.dtype = torch.float32
) -> tuple[Question, Question, Question]:
    """Return the questions observe, step and replay of an oracle with a replay memory.

    observation, action: widths of the vectors.
    """

    def of(*shape: int | Batch) -> EdgeType:
        return EdgeType(shape, dtype)

    step = Question("step", (of(envs, action),), (of(envs), of(envs)))
    remembered = (of(batch, observation), of(batch, action), of(batch), of(batch, observation), of(batch))
    return Question("observe", (), (of(envs, observation),)), step, Question("replay", (), remembered)


@final
class Replay:
    """A preallocated ring buffer of the last `capacity` transitions (s, a, r, s', terminated), in one dtype.

    observation, action: widths of the vectors. who: name of the environment in errors. Stored and drawn transitions are
    copied. Raises OracleError if this machine does not have enough memory.
    """

    def __init__(
        self, capacity: int, observation: int, action: int, dtype: torch.dtype = torch.float32, who: str = "Nature"
    ) -> None:
        self.capacity, self._filled, self._next, self._who = capacity, 0, 0, who
        self._row = (2 * observation + action + 2) * dtype.itemsize
        what = f"{who}: a replay of {capacity} transitions with observations of {observation} numbers"
        refuse_beyond_memory(what, capacity * self._row, "Choose a smaller `capacity`, or observe less.")
        shapes = ((capacity, observation), (capacity, action), (capacity,), (capacity, observation), (capacity,))
        self._columns = tuple(torch.empty(shape, dtype=dtype) for shape in shapes)

    def __len__(self) -> int:
        return self._filled

    def store(self, *columns: Tensor) -> None:
        """Store n transitions, one row each in every column; n is at most the capacity."""
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
        """Return a batch (s, a, r, s', terminated), drawn uniformly with replacement, in new memory.

        Raises OracleError before the first transition is stored.
        """
        if not self._filled:
            raise OracleError(
                f"{self._who} was asked for a replay before its first step; expected a step to remember. "
                "Let acting come before learning in the round, or start learning in a later one."
            )
        rows = torch.randint(self._filled, (batch,), generator=generator)
        return tuple(column.index_select(0, rows) for column in self._columns)

    def state(self) -> State:
        """Return a copy of the stored transitions, and the index of the next one.

        Raises OracleError without enough memory.
        """
        what = f"{self._who}: a copy of the replay's {self._filled} transitions, to save it,"
        refuse_beyond_memory(what, 2 * self._filled * self._row, "Choose a smaller `capacity`.")
        filled = [column[: self._filled].clone() for column in self._columns]
        return {"columns": filled, "next": self._next}

    def load(self, state: State) -> None:
        """Continue from a saved state. Raises OracleError if its shapes are wrong or its numbers are not finite."""
        found = [tuple(column.shape) for column in state["columns"]]
        filled = found[0][0]
        expected = [(filled, *column.shape[1:]) for column in self._columns]
        if found != expected or filled > self.capacity or (filled < self.capacity and state["next"] != filled):
            raise OracleError(
                f"replay of capacity {self.capacity}: expected a state of shapes {expected}; {found} arrived. "
                "Resume with the environment and the capacity that the run was started with."
            )
        if not all(torch.isfinite(column).all() for column in state["columns"]):
            raise OracleError(
                f"{self._who}: the saved replay holds NaN or infinity; expected finite numbers. "
                "Continue from an older checkpoint, or begin anew."
            )
        for mine, saved in zip(self._columns, state["columns"], strict=True):
            mine[:filled] = saved
        self._filled, self._next = filled, state["next"] % self.capacity
