"""The oracles that play a Markov decision process during a run.

`Transitions` plays all transitions or draws some; `Walk` moves walkers.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from antiphon.envs.available_memory import refuse_beyond_memory
from antiphon.envs.markov_process import MarkovProcess
from antiphon.grammars.oracle import Memoryless, State
from antiphon.grammars.seeds import at_round, stream


@dataclass(frozen=True, eq=False)
class Outcomes:
    """All possible transitions (s, a, s'), one per row; `state`, `action` and `after` are indices, (rows,) int64.

    chance: P(s, a, s') if s is drawn from the distribution of states and a from the behaviour policy; the sum over rows
    is 1. ratio: policy / behaviour at (s, a).
    """

    process: MarkovProcess
    state: Tensor
    action: Tensor
    after: Tensor
    chance: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, process: MarkovProcess, behaviour: Tensor, policy: Tensor, distribution: Tensor) -> "Outcomes":
        """Return the transitions with positive probability, one per row, ordered by s, a, s'."""
        chance = distribution[:, None, None] * behaviour[:, :, None] * process.transitions.double()
        state, action, after = chance.nonzero(as_tuple=True)
        ratio = policy[state, action] / behaviour[state, action]
        return cls(process, state, action, after, chance[state, action, after], ratio)

    @functools.cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """All pairs of rows (transitions) with the same state s, in order: two tensors of row numbers, (pairs,)
        int64 each.
        """
        rows = len(self.state)
        refuse_beyond_memory(f"markov: comparing {rows} outcomes in pairs", rows * rows, "Ask for `sample` instead.")
        one, two = (self.state[:, None] == self.state).nonzero(as_tuple=True)
        return one, two

    @functools.cached_property
    def chance_of_pairs(self) -> Tensor:
        """The probability P(s) P(a1, s1' | s) P(a2, s2' | s) of each pair of transitions from one state, (pairs,).

        The sum is 1.
        """
        marginal = torch.zeros(self.process.states, dtype=torch.float64).index_add(0, self.state, self.chance)
        one, two = self.pairs
        return self.chance[one] * self.chance[two] / marginal[self.state[one]]

    def sample(self, rows: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """Return a tuple (s, a, r, s', terminated, weight) of tensors, with one row for each transition in `rows`.

        rows: row numbers of transitions. weight: weight of each transition.
        """
        state = self.process.features[self.state[rows]]
        return (state, one_hot(self.process, self.action[rows]), *self._ends(rows), weight.to(state.dtype))

    def pair(self, pairs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """Return a tuple (s, r1, s1', terminated1, r2, s2', terminated2, weight) of tensors, one row per pair.

        pairs: numbers of pairs of transitions. weight: weight of each pair.
        """
        one, two = (rows[pairs] for rows in self.pairs)
        state = self.process.features[self.state[one]]
        return (state, *self._ends(one), *self._ends(two), weight.to(state.dtype))

    def _ends(self, rows: Tensor) -> tuple[Tensor, ...]:
        return ends(self.process, self.state[rows], self.action[rows], self.after[rows])


def one_hot(process: MarkovProcess, action: Tensor) -> Tensor:
    """Return actions as one-hot vectors in the dtype of the features: (rows,) -> (rows, actions)."""
    return torch.nn.functional.one_hot(action, process.actions).to(process.features.dtype)


def ends(process: MarkovProcess, state: Tensor, action: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return r, s', terminated of transitions that are given by indices."""
    kind = process.features.dtype
    return process.rewards[state, action, after].to(kind), process.features[after], process.terminal[after].to(kind)


@final
class Transitions(Memoryless):
    """An oracle that plays all transitions of a process, or `batch` random ones that depend on seed, round and
    question only.
    """

    def __init__(
        self,
        process: MarkovProcess,
        behaviour: Tensor,
        policy: Tensor,
        distribution: Tensor,
        batch: int | None,
        *,
        seed: int,
    ) -> None:
        self._outcomes = Outcomes.of(process, behaviour, policy, distribution)
        self._batch = batch
        self._seeds = {question: stream(seed, question) for question in ("sample", "pair")}

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "sample" or "pair"."""
        outcomes = self._outcomes
        if question == "sample":
            return outcomes.sample(*self._chosen(question, outcomes.chance, outcomes.ratio, round))
        one, two = outcomes.pairs
        ratio = outcomes.ratio[one] * outcomes.ratio[two]
        return outcomes.pair(*self._chosen(question, outcomes.chance_of_pairs, ratio, round))

    def _chosen(self, question: str, chance: Tensor, ratio: Tensor, round: int) -> tuple[Tensor, Tensor]:
        """Return the numbers of the transitions to play, and their weights, (rows,) each.

        If policy equals behaviour, the expected mean weight is 1.
        """
        if self._batch is None:
            return torch.arange(len(chance)), len(chance) * chance * ratio
        generator = torch.Generator().manual_seed(at_round(self._seeds[question], round))
        rows = torch.multinomial(chance, self._batch, replacement=True, generator=generator)
        return rows, ratio[rows]


@final
class Walk:
    """Moves several walkers through a Markov decision process. Each walker has its own state.

    The question `sample` draws the actions from the behaviour policy; the question `step` takes actions as input. When
    an episode ends, the answer contains the terminal state, and the walker goes on from a new start.
    """

    def __init__(self, process: MarkovProcess, behaviour: Tensor, policy: Tensor, batch: int, *, seed: int) -> None:
        self._process, self._behaviour, self._policy, self._seed = process, behaviour, policy, seed
        self._steps, self._episodes = 0, 0
        generator = torch.Generator().manual_seed(seed)
        self._at = torch.multinomial(process.start.double(), batch, replacement=True, generator=generator)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "sample", "observe" or "step"."""
        state, process = self._at, self._process
        if question == "observe":
            return (process.features[state],)
        generator = torch.Generator().manual_seed(at_round(self._seed, self._steps))
        if question == "step":
            return self._step(inputs[0].argmax(1), generator)
        action = torch.multinomial(self._behaviour[state], 1, generator=generator).squeeze(1)
        ratio = self._policy[state, action] / self._behaviour[state, action]
        units = one_hot(process, action)
        return (process.features[state], units, *self._step(action, generator), ratio.to(units.dtype))

    def state(self) -> State:
        """Return the current states of the walkers, and the numbers of steps and episodes so far."""
        return {"at": self._at.clone(), "steps": self._steps, "episodes": self._episodes}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._at, self._steps, self._episodes = state["at"].clone(), state["steps"], state["episodes"]

    def report(self) -> Mapping[str, float]:
        """Return the number of steps of each walker, and the number of ended episodes of all walkers together."""
        return {"steps": self._steps, "episodes": self._episodes}

    def close(self) -> None:
        """Do nothing: this oracle holds nothing that must be closed."""

    def _step(self, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        state, process = self._at, self._process
        after = torch.multinomial(process.transitions[state, action].double(), 1, generator=generator).squeeze(1)
        again = torch.multinomial(process.start.double(), len(state), replacement=True, generator=generator)
        over = process.terminal[after]
        self._at = torch.where(over, again, after)
        self._steps, self._episodes = self._steps + 1, self._episodes + int(over.sum())
        return ends(process, state, action, after)
