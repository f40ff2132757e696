"""The replay memory of Nature: a ring buffer of transitions, drawn uniformly or by priority."""

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from antiphon.envs.available_memory import refuse_beyond_memory
from antiphon.envs.n_step import NStep
from antiphon.envs.priorities import Priorities
from antiphon.errors import OracleError
from antiphon.grammars.oracle import Question, State
from antiphon.grammars.types import Batch, EdgeType


def check_capacity(who: str, capacity: int, envs: int, n_step: int = 1) -> None:
    """Raise OracleError if a replay memory of this capacity cannot hold `n_step` steps of every copy."""
    if capacity < envs * n_step:
        steps = f"`n_step` {n_step} times " if n_step > 1 else ""
        raise OracleError(
            f"{who}: capacity is {capacity}; expected at least {envs * n_step}, {steps}a transition per copy. Raise it."
        )


def replay_questions(
    observation: int,
    action: int,
    envs: Batch,
    batch: Batch,
    dtype: torch.dtype = torch.float32,
    further: Sequence[str] = (),
) -> tuple[Question, ...]:
    """Return the questions observe, step and replay of an oracle with a replay memory.

    observation, action: widths of the vectors. further: names of questions about the last replay: "discount" and
    "weight", which answer (batch,), and "prioritise", which takes the errors of the transitions, (batch,).
    """

    def of(*shape: int | Batch) -> EdgeType:
        return EdgeType(shape, dtype)

    step = Question("step", (of(envs, action),), (of(envs), of(envs)))
    remembered = (of(batch, observation), of(batch, action), of(batch), of(batch, observation), of(batch))
    told = of(batch)
    more = [Question(name, (told,), ()) if name == "prioritise" else Question(name, (), (told,)) for name in further]
    return Question("observe", (), (of(envs, observation),)), step, Question("replay", (), remembered), *more


@final
class Replay:
    """A preallocated ring buffer of the last `capacity` transitions (s, a, r, s', terminated).

    observation, action: widths of the vectors. dtype: of drawn transitions. who: name of the environment in errors.
    storage: dtype in which observations are stored; None for `dtype`. n_step: adds up rewards over several steps; then
    a sixth column is stored, 1 for the last step of an episode, else 0. priority_alpha: draws rows by priority (see
    `Priorities`); 0 draws them uniformly. Stored and drawn transitions are copied. Raises OracleError if this machine
    does not have enough memory.
    """

    def __init__(
        self,
        capacity: int,
        observation: int,
        action: int,
        dtype: torch.dtype = torch.float32,
        who: str = "Nature",
        *,
        storage: torch.dtype | None = None,
        n_step: NStep | None = None,
        priority_alpha: float = 0.0,
    ) -> None:
        self.capacity, self._filled, self._next, self._who = capacity, 0, 0, who
        self._n_step, self._rows = n_step, torch.empty(0, dtype=torch.int64)
        shown, number = ((capacity, observation), storage or dtype), ((capacity,), dtype)
        columns = [shown, ((capacity, action), dtype), number, shown, number] + [number] * (n_step is not None)
        self._row = sum(math.prod(shape[1:]) * kind.itemsize for shape, kind in columns)
        more = Priorities.bytes_per_row() if priority_alpha else 0
        what = f"{who}: a replay of {capacity} transitions with observations of {observation} numbers"
        refuse_beyond_memory(what, capacity * (self._row + more), "Choose a smaller `capacity`, or observe less.")
        self._columns = tuple(torch.empty(shape, dtype=kind) for shape, kind in columns)
        self._priorities = Priorities(capacity, priority_alpha) if priority_alpha else None
        self._discount = torch.empty(0)
        self._dtype, self._plain = dtype, n_step is None and shown[1] is dtype

    def __len__(self) -> int:
        return self._filled

    def store(self, *columns: Tensor) -> None:
        """Store n transitions, one row each in every column; n is at most the capacity.

        Raises OracleError if an observation is too large for the dtype in which it is stored.
        """
        if self._columns[0].dtype is torch.float16:
            self._refuse_beyond_half(columns[0], columns[3])
        count = len(columns[0])
        end = self._next + count
        for mine, new in zip(self._columns, columns, strict=True):
            if end <= self.capacity:
                mine[self._next : end] = new
            else:
                split = self.capacity - self._next
                mine[self._next :] = new[:split]
                mine[: count - split] = new[split:]
        if self._priorities is not None:
            self._priorities.add(np.arange(self._next, end) % self.capacity)
        self._next = end % self.capacity
        self._filled = min(self._filled + count, self.capacity)

    def sample(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return a batch (s, a, r, s', terminated), drawn with replacement, in new memory.

        With `n_step`, r is the discounted sum over several steps, and s' and terminated are those of the last step.
        Raises OracleError before the first transition is stored.
        """
        if not self._filled:
            raise OracleError(
                f"{self._who} was asked for a replay before its first step; expected a step to remember. "
                "Let acting come before learning in the round, or start learning in a later one."
            )
        if self._priorities is None:
            self._rows = torch.randint(self._filled, (batch,), generator=generator)
        else:
            self._rows = self._priorities.draw(batch, self._filled, generator)
        if self._plain:
            return tuple(column.index_select(0, self._rows) for column in self._columns)
        return self._transitions(self._rows)

    def _transitions(self, rows: Tensor) -> tuple[Tensor, ...]:
        state, action, reward, after, terminated, *ended = self._columns
        total, last = reward[rows], rows
        if self._n_step is not None:
            newest = (self._next - 1) % self.capacity
            total, last, self._discount = self._n_step.returns(rows, newest, reward, ended[0])
        return state[rows].to(self._dtype), action[rows], total, after[last].to(self._dtype), terminated[last]

    @property
    def discount(self) -> Tensor:
        """With `n_step`: the discount gamma^(k-1) of the last of the k rewards of each drawn transition, (batch,)."""
        return self._discount

    def weights(self, beta: float) -> Tensor:
        """With `priorities`: the importance weight of each drawn transition, (batch,). See `Priorities.weights`."""
        return torch.from_numpy(self._prioritised().weights(self._rows.numpy(), beta)).to(self._dtype)

    def prioritise(self, errors: Tensor) -> None:
        """With `priorities`: set the priorities of the drawn transitions from their errors, (batch,)."""
        self._prioritised().update(self._rows.numpy(), errors.detach().double().numpy())

    def end_episodes(self, ended: np.ndarray) -> None:
        """Note that the newest stored step of some copies is the last of its episode. ended: which, (envs,) bool."""
        if self._n_step is not None and self._filled:
            copies = np.flatnonzero(ended)
            self._columns[5][(self._next - len(ended) + copies) % self.capacity] = 1.0

    def state(self) -> State:
        """Return a copy of the stored transitions, and the index of the next one.

        Raises OracleError without enough memory.
        """
        what = f"{self._who}: a copy of the replay's {self._filled} transitions, to save it,"
        refuse_beyond_memory(what, 2 * self._filled * self._row, "Choose a smaller `capacity`.")
        filled = [column[: self._filled].clone() for column in self._columns]
        priorities = {} if self._priorities is None else {"priorities": self._priorities.state(self._filled)}
        return {"columns": filled, "next": self._next, **priorities}

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
        if self._priorities is not None:
            self._priorities.load(state["priorities"])

    def _prioritised(self) -> Priorities:
        if self._priorities is None or not len(self._rows):
            raise OracleError(
                f"{self._who} was asked about priorities; expected a prioritised memory that has been drawn from. Set "
                "`priority_alpha` above 0, and ask for a replay before."
            )
        return self._priorities

    def _refuse_beyond_half(self, *observations: Tensor) -> None:
        largest = max(float(each.abs().max()) for each in observations)
        if largest > torch.finfo(torch.float16).max:
            raise OracleError(
                f"{self._who} observed {largest:g}, and its memory stores observations as float16; expected numbers of "
                "at most 65504. Set `storage` to float32, or scale the observations in a wrapper."
            )
