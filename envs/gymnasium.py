"""Nature as vectorised Gymnasium environments with a replay memory (essay, section 2.4)."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from antiphon.envs.copies import Saved, Together
from antiphon.envs.environment import Keywords, Name, Spaces, make, read_spaces, title
from antiphon.envs.episodes import Episodes
from antiphon.envs.processes import Apart
from antiphon.envs.repeating import Histories
from antiphon.envs.replay import check_capacity, replay_questions
from antiphon.envs.replay_options import PLAIN, ReplayOptions, Storage
from antiphon.envs.spaces import float32
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Natural, Positive, Seconds
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.grammars.seeds import at_round
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch
from antiphon.oracles.draws import Draws
from antiphon.oracles.noise import scale_at

Vectorization = Literal["sync", "async"]

SCALES = "scales"
"""Key of the running statistics of observations and rewards in a Nature's state."""

PICTURE = 1000
"""Size from which `nature` warns that a picture (an observation with two or more dimensions) is flattened."""


@typed
def nature(
    id: Name,
    *,
    envs: Count = 8,
    batch: Count = 256,
    capacity: Count = 100_000,
    warmup: Natural = 1000,
    reward_scale: Positive = 1.0,
    keywords: Keywords | None = None,
    vectorization: Vectorization = "sync",
    deadline: Seconds = 60.0,
    overlap: bool = False,
    stagger: Natural = 0,
    options: ReplayOptions = PLAIN,
    symbol: str = "batch",
    envs_symbol: str = "envs",
) -> OracleDeclaration:
    """Declare a Nature over `envs` copies of a Gymnasium environment with continuous actions.

    id: a name registered in Gymnasium; "module:id" if importing the module registers it; or a class or function that
    makes an environment. keywords: keyword arguments of its constructor. vectorization: "async" runs each copy in its
    own process. Each process must answer within `deadline` seconds. overlap: learn while the environments step.
    stagger: cut the first episode of copy i after `stagger * i // envs` steps, so that episodes do not end together.

    Questions; all tensors are float32:
    observe() -> s. It returns the observations, (envs, observation).
    step(a) -> reward, done. It makes a step in every copy with the actions a, (envs, action), and stores the
    transitions. Both results are (envs,).
    replay() -> s, a, r, s', terminated. It draws from the last `capacity` transitions. Each result is (batch, ...).

    Observations are flattened, with a warning for large pictures. A dimension of the action is in units of [-1, 1] if
    the environment bounds it on both sides, else in the units of the environment. Actions are clipped, and then
    stored. In the first `warmup` steps (of all copies together) a random action replaces the given one, and is stored.
    Rewards are divided by `reward_scale`, except in the report. The last transition of an episode has its true next
    observation; a time limit is not termination. options: see `ReplayOptions`. With `n_step` above 1, discount()
    answers the discounts of the last replay. With priorities, weight() answers its weights, and prioritise(errors) sets
    its priorities. All are (batch,).
    One environment is made, reset and closed to read its spaces. Raises OracleError if one of these fails, if the
    actions are discrete, or for a size out of range.
    """
    check_capacity(title(id), capacity, envs, options.n_step)
    spaces = _remembered(id, keywords, options.storage)
    factory = Factory.of(
        Nature,
        id,
        envs=envs,
        batch=batch,
        capacity=capacity,
        warmup=warmup,
        reward_scale=reward_scale,
        keywords=dict(keywords or {}),
        vectorization=vectorization,
        deadline=deadline,
        overlap=overlap,
        stagger=stagger,
        **({"options": options} if options.any else {}),
    )
    symbols = Batch(envs_symbol), Batch(symbol)
    questions = replay_questions(spaces.observation, spaces.action, *symbols, further=options.questions)
    return OracleDeclaration(factory, questions, ((envs_symbol, envs), (symbol, batch)))


def _remembered(id: Name, keywords: Keywords | None, storage: Storage) -> Spaces:
    """Return the spaces of an environment. Warn of large pictures.

    Raises OracleError if a memory cannot hold the observations in the dtype `storage`.
    """
    spaces = read_spaces(id, keywords)
    if math.prod(spaces.picture) >= PICTURE:
        warnings.warn(
            f"{title(id)} observes a picture of shape {spaces.picture}, which is flattened to "
            f"{math.prod(spaces.picture)} numbers, unscaled. Let an Encoder see it (`channels` of the experiment), or "
            "wrap the environment to observe features, or a small scaled picture.",
            stacklevel=3,
        )
    if storage == "uint8" and not spaces.bytes:
        raise OracleError(
            f"{title(id)}: `storage` is uint8, and some observed numbers are no integers from 0 to 255; expected a "
            "space of dtype uint8. Set `storage` to float32 or float16."
        )
    return spaces


@final
class Nature:
    """The oracle that plays Gymnasium environments with a replay memory during a run. With equal seeds the answers are
    bitwise equal.

    The internal state of a simulator cannot be saved in general. So a state contains the replay memory, and the
    beginning and the actions of each current episode. `load` repeats these steps; the answers are then those of a
    Nature that was never interrupted. An episode of more than 100 000 steps, or one that does not lead to the saved
    observation again, is replaced by a new episode, with a seed that follows from the seed and the number of steps. The
    report then counts `begun_anew`.

    If `overlap` is true, the question `step` starts a step and does not wait for its end. The step ends, and is stored,
    when `observe` is asked next. So `replay` in the same round does not draw this step, unless nothing else is stored.
    `step` answers reward and done of the previous step, zeros at first. The numbers are still a function of the seed.
    With the vectorization "async", players learn while the environments step.
    """

    def __init__(
        self,
        id: Name,
        *,
        envs: int,
        batch: int,
        capacity: int,
        warmup: int,
        reward_scale: float,
        keywords: Keywords,
        vectorization: Vectorization,
        deadline: float,
        overlap: bool,
        stagger: int = 0,
        options: ReplayOptions = PLAIN,
        seed: int,
    ) -> None:
        self._who, self._envs, self._batch, self._overlap, self._seed = title(id), envs, batch, overlap, seed
        self._warmup, self._reward_scale = warmup, reward_scale
        self._env_steps = self._begun_anew = 0
        # The replay is made before the copies: if there is no memory for it, there are no copies to close.
        one = make(id, keywords)
        self._actions = one.actions
        one.close()
        self._options, widths = options, (one.observations.width, one.actions.width)
        self._replay = options.replay(capacity, *widths, envs, self._who)
        self._histories = Histories(envs, one.actions.width)
        self._scales = options.scales(one.observations.width, envs)
        self._copies = Together(id, keywords, envs) if vectorization == "sync" else Apart(id, keywords, envs, deadline)
        # Separate streams: 1 for the actions of the warm-up, 2 for draws from the replay, 3 for the seeds of resets.
        self._warmup_draws, self._replay_draws = Draws(at_round(seed, 1)), Draws(at_round(seed, 2))
        self._episodes = Episodes(envs)
        self._cuts = stagger * np.arange(envs) // envs  # of the first episodes; none is cut after 0 steps
        try:
            self._observed = self._reset()
        except BaseException:
            self.close()  # the caller gets no Nature that it could close
            raise

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe", "step" or "replay"; or one about the last replay (see `replay_questions`)."""
        if question == "observe" or not len(self._replay):
            self._arrive()
        if question == "observe":
            return (self._observed.clone() if self._scales is None else self._scales.observation(self._observed),)
        if question == "step":
            return self._step(inputs[0], round)
        if question == "replay":
            drawn = self._replay.sample(self._batch, self._replay_draws.at(round))
            return drawn if self._scales is None else self._scales.replayed(drawn)
        if question == "discount":
            return (self._replay.discount,)
        if question == "weight":
            return (self._replay.weights(scale_at(self._options.priority_beta, round)),)
        self._replay.prioritise(inputs[0])
        return ()

    def state(self) -> State:
        """Return the replay memory, the number of steps so far, and what is needed to repeat the current episodes."""
        underway = None if self._underway is None else torch.from_numpy(self._underway.copy())
        counts = {"env_steps": self._env_steps, "begun_anew": self._begun_anew, "episodes": self._episodes.state()}
        step = {"underway": underway, "told": tuple(each.clone() for each in self._told)}
        history = {"observed": self._observed.clone(), "history": self._histories.state()}
        return {"replay": self._replay.state(), **counts, **step, **history, **self.learned()}

    def learned(self) -> State:
        """Return what an evaluation needs of `state`: the statistics that scale observations."""
        return {} if self._scales is None else {SCALES: self._scales.state()}

    def load(self, state: State) -> None:
        """Continue exactly from a saved state: repeat the steps of the current episodes. Blocks until this is done."""
        self._replay.load(state["replay"])
        self._env_steps, self._begun_anew = state["env_steps"], state["begun_anew"]
        self._warmup_draws.restart()
        self._replay_draws.restart()
        self._histories.load(state["history"])
        self._told = tuple(each.clone() for each in state["told"])
        self._observed, anew = self._repeat(state["observed"])
        self._episodes.load(state["episodes"], anew)
        self._replay.end_episodes(anew)
        if self._scales is not None:
            self._scales.load(state[SCALES], anew)
        self._underway = None
        if state["underway"] is not None:
            self._begin_step(state["underway"].numpy().copy())

    def report(self) -> Mapping[str, float]:
        """Return the numbers of episodes, of steps and of stored transitions so far, and the mean unscaled return and
        length of the newest episodes. See `Episodes.report`.
        """
        anew = {"begun_anew": self._begun_anew} if self._begun_anew else {}
        counts = {"env_steps": self._env_steps, "replay_size": len(self._replay)}
        return {**self._episodes.report(self._env_steps), **counts, **anew}

    def close(self) -> None:
        """Close the environments, and end their processes if the vectorization is "async"."""
        self._copies.close()

    def _step(self, action: Tensor, round: int) -> tuple[Tensor, Tensor]:
        self._arrive()
        self._begin_step(self._units(action, round))
        if not self._overlap:
            self._arrive()
        reward, done = self._told
        return reward if self._scales is None else self._scales.reward(reward), done

    def _begin_step(self, units: np.ndarray) -> None:
        self._cut = self._cuts == self._env_steps // self._envs + 1
        self._copies.begin_step(self._actions.to_box(units), self._cut)
        self._underway = units

    def _arrive(self) -> None:
        """If a step of the environments is not finished, wait for its end, and store its transitions."""
        units, self._underway = self._underway, None
        if units is None:
            return
        after, observed, *rest, beginnings = zip(*self._copies.end_step(), strict=True)
        reward, terminated, truncated = map(np.array, rest)
        self._env_steps += self._envs
        scaled, ended = self._scaled(reward), terminated | truncated
        done = ended | self._cut
        self._episodes.count(reward, ended, self._cut, self._env_steps)
        self._histories.add(units, done.tolist(), beginnings)
        columns = units, scaled, _rows(after), terminated.astype(np.float32)
        if self._options.n_step > 1:
            columns = *columns, done.astype(np.float32)
        self._replay.store(self._observed, *map(torch.from_numpy, columns))
        shown = _rows(observed)
        if self._scales is not None:
            self._scales.observe(shown)
            self._scales.pay(scaled, done)
        self._observed = torch.from_numpy(shown)
        self._told = torch.from_numpy(scaled), torch.from_numpy(done.astype(np.float32))

    def _scaled(self, reward: np.ndarray) -> np.ndarray:
        scaled = float32(reward / self._reward_scale)
        if not np.isfinite(scaled).all():
            raise OracleError(
                f"{self._who} answered a reward of {np.abs(reward).max():g} in the step before {self._env_steps}, and "
                f"float32 cannot hold it, divided by reward_scale {self._reward_scale:g}; expected a finite number. "
                "Raise `reward_scale`, or repair the environment."
            )
        return scaled

    def _units(self, action: Tensor, round: int) -> np.ndarray:
        if self._env_steps < self._warmup:
            return self._actions.draw(self._envs, self._warmup_draws.at(round))
        units = action.detach().numpy()
        if not np.isfinite(units).all():
            raise OracleError(
                f"{self._who} was handed an action in step {self._env_steps} that is NaN or infinite; expected finite "
                "numbers. A player diverged: lower its learning rate, or bound its output."
            )
        return self._actions.clip(units)

    def _reset(self) -> Tensor:
        self._underway: np.ndarray | None = None
        self._told = torch.zeros(self._envs), torch.zeros(self._envs)
        # Only these resets are seeded. A reset at the end of an episode continues the generator of the copy.
        seed = self._reset_seed()
        self._histories.begin(range(seed, seed + self._envs))
        shown = _rows(self._copies.reset(seed))
        if self._scales is not None:
            self._scales.observe(shown)
        return torch.from_numpy(shown)

    def _repeat(self, expected: Tensor) -> tuple[Tensor, np.ndarray]:
        """Repeat the current episodes in all copies, and return their last observations.

        expected: the saved observations, (envs, width). Also returns whether another episode began instead, (envs,).
        """
        seeds = range(self._reset_seed(), self._reset_seed() + self._envs)
        saved = [
            Saved(begun, self._actions.to_box(self._histories.of(index)), expected[index].numpy(), seed)
            for index, (begun, seed) in enumerate(zip(self._histories.beginnings, seeds, strict=True))
        ]
        observed, repeated = zip(*self._copies.repeat(saved), strict=True)
        lost = ~np.array(repeated)
        self._begun_anew += int(lost.sum())
        self._histories.restart(lost.tolist(), seeds)
        return torch.from_numpy(_rows(observed)), lost

    def _reset_seed(self) -> int:
        # The seed of copy i is this number plus i, which must fit into 31 bits.
        return at_round(at_round(self._seed, 3), self._env_steps) >> 33


def _rows(vectors: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(vectors).reshape(len(vectors), -1)  # as np.stack, in a quarter of its time
