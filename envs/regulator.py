"""A linear-quadratic regulator as Nature. The module `riccati` computes its values and gradients in closed form."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.envs.mean_reward import MeanReward
from antiphon.envs.replay import Replay, check_capacity, replay_questions
from antiphon.envs.riccati import Regulator
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, State
from antiphon.grammars.seeds import at_round
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch
from antiphon.oracles.draws import Draws


@typed
def regulator(
    system: Regulator,
    *,
    envs: Count = 64,
    batch: Count = 256,
    capacity: Count = 20_000,
    symbol: str = "batch",
    envs_symbol: str = "envs",
) -> OracleDeclaration:
    """Declare a Nature over `envs` copies of a linear-quadratic regulator, in float64.

    Questions:
    observe() -> s. It returns the states, (envs, state).
    step(a) -> reward, done. It makes a step in every copy with the actions a, (envs, action). Both results are (envs,).
    replay() -> s, a, r, s', terminated. It draws transitions uniformly from the last `capacity`. Each result is
    (batch, ...).

    After each step the episode ends with probability 1 - gamma and another begins. So states occur as often as the
    discounted return weighs them. This end is not a termination: `terminated` is 0 and the true s' is stored, so that
    learning uses the value of s'.
    """
    check_capacity("regulator", capacity, envs)
    questions = replay_questions(*system.widths, Batch(envs_symbol), Batch(symbol), torch.float64)
    factory = Factory.of(RegulatorNature, system, envs, batch, capacity)
    return OracleDeclaration(factory, questions, ((envs_symbol, envs), (symbol, batch)))


@final
class RegulatorNature:
    """The oracle that plays copies of a regulator during a run. With equal seeds the answers are bitwise equal.

    This also holds after `load`.
    """

    def __init__(self, system: Regulator, envs: int, batch: int, capacity: int, *, seed: int) -> None:
        self._system, self._batch, self._steps = system, batch, 0
        self._replay = Replay(capacity, *system.widths, dtype=torch.float64, who="regulator")
        self._step_draws, self._replay_draws = Draws(at_round(seed, 1)), Draws(at_round(seed, 2))
        begun = torch.Generator().manual_seed(at_round(seed, 3))
        self._observed = system.start * _normal(envs, system.widths[0], begun)
        self._rewarded = MeanReward()

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe", "step" or "replay"."""
        if question == "observe":
            return (self._observed.clone(),)
        if question == "step":
            return self._step(inputs[0].detach(), self._step_draws.at(round))
        return self._replay.sample(self._batch, self._replay_draws.at(round))

    def state(self) -> State:
        """Return the replay memory, the state of every copy, and the number of steps so far."""
        return {"replay": self._replay.state(), "observed": self._observed.clone(), "steps": self._steps}

    def load(self, state: State) -> None:
        """Continue exactly from a saved state."""
        self._replay.load(state["replay"])
        self._observed, self._steps = state["observed"].clone(), state["steps"]
        self._step_draws.restart()
        self._replay_draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return the number of steps so far, and the mean reward of a step since the last report if there was a
        step.
        """
        return {"env_steps": self._steps, **self._rewarded.report()}

    def close(self) -> None:
        """Do nothing: this oracle holds nothing that must be closed."""

    def _step(self, action: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        system, before = self._system, self._observed
        pushed = system.process * _normal(*before.shape, generator)
        after = before @ system.drift.T + action @ system.control.T + pushed
        reward = -(before @ system.state_cost * before).sum(1) - (action @ system.action_cost * action).sum(1)
        done = torch.rand(len(before), generator=generator, dtype=torch.float64) >= system.gamma
        begun = system.start * _normal(*before.shape, generator)
        self._check_finite(after, reward)
        self._replay.store(before, action, reward, after, torch.zeros_like(reward))
        self._observed = torch.where(done.unsqueeze(1), begun, after)
        self._steps += len(before)
        self._rewarded.add(reward)
        return reward, done.to(torch.float64)

    def _check_finite(self, *values: Tensor) -> None:
        if not all(torch.isfinite(value).all() for value in values):
            raise OracleError(
                f"regulator left all bounds in the step after {self._steps}; expected finite states and rewards. The "
                "policy does not stabilise it: lower Actor's learning rate, or begin nearer to a stable gain."
            )


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)
