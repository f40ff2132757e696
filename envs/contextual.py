"""A contextual bandit: Nature shows a random state and rewards one action in it; actions do not affect later states."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.envs.pulls import Pulls
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.answers import checked_answer, finite_answer
from antiphon.oracles.draws import Draws


@typed
def contextual_bandit(
    reward: Callable[[Tensor, Tensor], Tensor] | Factory,
    state: Count,
    action: Count,
    *,
    batch: Count,
    symbol: str = "batch",
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare a Nature that draws states from N(0, I), and rewards actions with a function of state and action.

    reward: a function (batch, state), (batch, action) -> (batch,), or a factory of one. state, action: widths.
    Questions: observe() -> s; reward(a) -> r for the states of this round, values only.
    The live oracle raises OracleError if a reward is asked before the states, has another shape, or is not finite.
    """
    examples = Batch(symbol)
    questions = (
        Question("observe", (), (EdgeType((examples, state), dtype),)),
        Question("reward", (EdgeType((examples, action), dtype),), (EdgeType((examples,), dtype),)),
    )
    sizes = ((symbol, batch),)
    return OracleDeclaration(Factory.of(ContextualBandit, reward, questions, sizes, state, dtype), questions, sizes)


@final
class ContextualBandit:
    """The live oracle of `contextual_bandit`. The states of a round are a function of seed and round."""

    def __init__(
        self,
        reward: Callable[[Tensor, Tensor], Tensor] | Factory,
        questions: tuple[Question, ...],
        sizes: tuple[tuple[str, int], ...],
        state: int,
        dtype: torch.dtype,
        *,
        seed: int,
    ) -> None:
        self._reward: Callable[[Tensor, Tensor], Tensor] = reward() if isinstance(reward, Factory) else reward
        self._question, self._sizes, self._shape = questions[1], dict(sizes), (sizes[0][1], state)
        self._dtype, self._draws, self._shown = dtype, Draws(seed), (-1, torch.empty(0))
        self._pulls = Pulls()

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer observe or reward."""
        if question == "observe":
            shown = torch.randn(*self._shape, generator=self._draws.at(round), dtype=self._dtype)
            self._shown = (round, shown)
            return (shown.clone(),)
        if self._shown[0] != round:
            raise OracleError(
                f"contextual bandit was asked for a reward in round {round} before it showed its states; expected "
                "observe before reward in every round. Ask them in this order."
            )
        return self._rewards(inputs[0].detach())

    def state(self) -> State:
        """Return the number of pulls so far."""
        return self._pulls.state()

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._pulls.load(state)
        self._draws.restart()

    def report(self) -> Mapping[str, float]:
        """Return the pulls so far, and the mean reward since the last report if there was a pull."""
        return self._pulls.report()

    def close(self) -> None:
        """Nothing to release."""

    @torch.no_grad()
    def _rewards(self, action: Tensor) -> tuple[Tensor, ...]:
        answer = checked_answer("bandit", self._question, self._sizes, (self._reward(self._shown[1], action),))
        (reward,) = finite_answer("bandit", self._question, answer)
        self._pulls.count(reward)
        return (reward.clone(),)
