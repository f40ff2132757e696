"""A contextual bandit: Nature shows a random state and rewards one action in it; actions do not affect later states."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.envs.mean_reward import MeanReward
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.answers import checked_answer
from antiphon.oracles.draws import Draws

Reward = Callable[[Tensor, Tensor], Tensor] | Factory


@typed
def contextual_bandit(
    reward: Reward,
    state: Count,
    action: Count,
    *,
    batch: Count,
    symbol: str = "batch",
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare a Nature that draws states from N(0, I), and rewards actions with a function of state and action.

    reward: a function (batch, state), (batch, action) -> (batch,), or a factory that makes it. state, action: widths.
    Questions: observe() -> s; reward(a) -> r for the states of this round, values only.
    During a run, the oracle raises OracleError if `reward` is asked before `observe`, or if a reward has another shape
    or is not finite.
    """
    return declared(reward, state, action, batch, symbol, dtype, drawn=True)


def declared(
    reward: Reward, state: int, action: int, batch: int, symbol: str, dtype: torch.dtype, drawn: bool
) -> OracleDeclaration:
    """Declare a bandit. If `drawn`, its states are drawn from N(0, I); otherwise every state is a vector of ones."""
    examples = Batch(symbol)
    questions = (
        Question("observe", (), (EdgeType((examples, state), dtype),)),
        Question("reward", (EdgeType((examples, action), dtype),), (EdgeType((examples,), dtype),)),
    )
    sizes = ((symbol, batch),)
    return OracleDeclaration(Factory.of(Bandit, reward, questions, sizes, drawn), questions, sizes)


@final
class Bandit:
    """The oracle that plays a bandit during a run. The states that it shows in a round depend on seed and round only.

    Its saved state is the number of rewarded actions (pulls) so far.
    """

    def __init__(
        self,
        reward: Reward,
        questions: tuple[Question, Question],
        sizes: tuple[tuple[str, int], ...],
        drawn: bool,
        *,
        seed: int,
    ) -> None:
        self._reward: Callable[[Tensor, Tensor], Tensor] = reward() if isinstance(reward, Factory) else reward
        self._questions, self._sizes, self._drawn = questions, dict(sizes), drawn
        self._draws, self._pulls, self._rewarded = Draws(seed), 0, MeanReward()
        self._shown = (-1, torch.empty(0))

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe" or "reward"."""
        if question == "observe":
            self._shown = (round, self._states(round))
            return (self._shown[1].clone(),)
        if self._shown[0] != round:
            raise OracleError(
                f"bandit was asked for a reward in round {round} before it showed its states; expected observe before "
                "reward in every round. Ask them in this order."
            )
        return self._rewards(inputs[0].detach(), round)

    def _states(self, round: int) -> Tensor:
        (shown,) = self._questions[0].outputs
        shape = shown.sized(self._sizes)
        if not self._drawn:
            return torch.ones(shape, dtype=shown.dtype)
        return torch.randn(shape, generator=self._draws.at(round), dtype=shown.dtype)

    @torch.no_grad()
    def _rewards(self, action: Tensor, round: int) -> tuple[Tensor, ...]:
        answer = (self._reward(self._shown[1], action),)
        (reward,) = checked_answer("bandit", self._questions[1], self._sizes, answer)
        if not torch.isfinite(reward).all():
            raise OracleError(
                f"bandit answered NaN or infinity in round {round}; expected finite rewards. If the actions left all "
                "bounds, lower the learning rate of the player, or the noise; otherwise correct the reward."
            )
        self._pulls += len(reward)
        self._rewarded.add(reward)
        return (reward.clone(),)

    def state(self) -> State:
        """Return the number of rewarded actions (pulls) so far."""
        return {"pulls": self._pulls}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._pulls = state["pulls"]
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return the number of rewarded actions (pulls) so far, and the mean reward since the last report.

        The mean is left out if there was no pull.
        """
        return {"pulls": self._pulls, **self._rewarded.report()}

    def close(self) -> None:
        """Do nothing: this oracle holds nothing that must be closed."""
