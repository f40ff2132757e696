"""The live oracles behind `markov`: transitions, all of them or drawn, and walkers."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.memory import refuse_beyond_memory
from antiphon.grammars.oracle import Memoryless, State
from antiphon.grammars.seeds import at_round, stream


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Every (s, a, s') that can happen, a row each: three columns of indices, (rows,) int64.

    chance: P(s, a, s') under distribution and behaviour, adding up to 1. ratio: policy over behaviour at (s, a).
    """

    process: MarkovProcess
    state: Tensor
    action: Tensor
    after: Tensor
    chance: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, process: MarkovProcess, behaviour: Tensor, policy: Tensor, distribution: Tensor) -> "Outcomes":
        """The rows whose chance is positive, in the order of s, a, s'."""
        chance = distribution[:, None, None] * behaviour[:, :, None] * process.transitions.double()
        state, action, after = chance.nonzero(as_tuple=True)
        ratio = policy[state, action] / behaviour[state, action]
        return cls(process, state, action, after, chance[state, action, after], ratio)

    @functools.cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Two rows of one state, all such pairs in order: (pairs,) int64 each."""
        rows = len(self.state)
        refuse_beyond_memory(f"markov: comparing {rows} outcomes in pairs", rows * rows, "Ask for `sample` instead.")
        one, two = (self.state[:, None] == self.state).nonzero(as_tuple=True)
        return one, two

    @functools.cached_property
    def chance_of_pairs(self) -> Tensor:
        """P(s) P(a, s' | s) P(a, s' | s) of each pair, adding up to 1."""
        marginal = torch.zeros(self.process.states, dtype=torch.float64).index_add(0, self.state, self.chance)
        one, two = self.pairs
        return self.chance[one] * self.chance[two] / marginal[self.state[one]]

    def sample(self, rows: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """s, a, r, s', terminated, weight of these rows."""
        kind = self.process.features.dtype
        units = torch.nn.functional.one_hot(self.action[rows], self.process.actions).to(kind)
        return (self._features(self.state[rows]), units, *self._ends(rows), weight.to(kind))

    def pair(self, pairs: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        """s; r, s', terminated; r, s', terminated; weight of these pairs."""
        one, two = (rows[pairs] for rows in self.pairs)
        state = self._features(self.state[one])
        return (state, *self._ends(one), *self._ends(two), weight.to(state.dtype))

    def _ends(self, rows: Tensor) -> tuple[Tensor, ...]:
        process, after = self.process, self.after[rows]
        return ends(process, self.state[rows], self.action[rows], after)

    def _features(self, states: Tensor) -> Tensor:
        return self.process.features[states]


def ends(process: MarkovProcess, state: Tensor, action: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """r, s', terminated of transitions given by indices."""
    kind = process.features.dtype
    return process.rewards[state, action, after].to(kind), process.features[after], process.terminal[after].to(kind)


@final
class Transitions(Memoryless):
    """Plays the outcomes of a process: all of them, or `batch` drawn by (seed, round, question)."""

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
        """Answer sample or pair."""
        outcomes = self._outcomes
        if question == "sample":
            return outcomes.sample(*self._chosen(question, outcomes.chance, outcomes.ratio, round))
        one, two = outcomes.pairs
        ratio = outcomes.ratio[one] * outcomes.ratio[two]
        return outcomes.pair(*self._chosen(question, outcomes.chance_of_pairs, ratio, round))

    def _chosen(self, question: str, chance: Tensor, ratio: Tensor, round: int) -> tuple[Tensor, Tensor]:
        """Rows and their weights, whose expected mean is 1 where policy is behaviour."""
        if self._batch is None:
            return torch.arange(len(chance)), len(chance) * chance * ratio
        generator = torch.Generator().manual_seed(at_round(self._seeds[question], round))
        rows = torch.multinomial(chance, self._batch, replacement=True, generator=generator)
        return rows, ratio[rows]


@final
class Walk:
    """Walkers in a process, each in a state of its own.

    `sample` lets behaviour choose their actions, `step` whoever asks. Where an episode ends the walker is put back to
    a start; what it leaves behind is told before.
    """

    def __init__(self, process: MarkovProcess, behaviour: Tensor, policy: Tensor, batch: int, *, seed: int) -> None:
        self._process, self._behaviour, self._policy, self._seed = process, behaviour, policy, seed
        self._steps, self._episodes = 0, 0
        generator = torch.Generator().manual_seed(seed)
        self._at = torch.multinomial(process.start.double(), batch, replacement=True, generator=generator)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer sample, observe or step."""
        state, process = self._at, self._process
        if question == "observe":
            return (process.features[state],)
        generator = torch.Generator().manual_seed(at_round(self._seed, self._steps))
        if question == "step":
            return self._step(inputs[0].argmax(1), generator)
        action = torch.multinomial(self._behaviour[state], 1, generator=generator).squeeze(1)
        ratio = self._policy[state, action] / self._behaviour[state, action]
        units = torch.nn.functional.one_hot(action, process.actions).to(process.features.dtype)
        return (process.features[state], units, *self._step(action, generator), ratio.to(units.dtype))

    def state(self) -> State:
        """Where the walkers are, and how many steps and episodes there were."""
        return {"at": self._at.clone(), "steps": self._steps, "episodes": self._episodes}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._at, self._steps, self._episodes = state["at"].clone(), state["steps"], state["episodes"]

    def report(self) -> Mapping[str, float]:
        """Steps of each walker, and episodes that ended, all walkers counted."""
        return {"steps": self._steps, "episodes": self._episodes}

    def close(self) -> None:
        """Nothing to release."""

    def _step(self, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        state, process = self._at, self._process
        after = torch.multinomial(process.transitions[state, action].double(), 1, generator=generator).squeeze(1)
        again = torch.multinomial(process.start.double(), len(state), replacement=True, generator=generator)
        over = process.terminal[after]
        self._at = torch.where(over, again, after)
        self._steps, self._episodes = self._steps + 1, self._episodes + int(over.sum())
        return ends(process, state, action, after)
