"""A contextual bandit: Nature shows a random state and rewards one action in it; actions do not affect later states."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.envs.pulls import Bandit
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.answers import checked_answer, finite_answer


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

    reward: a function (batch, state), (batch, action) -> (batch,), or a factory that makes it. state, action: widths.
    Questions: observe() -> s; reward(a) -> r for the states of this round, values only.
    The live oracle raises OracleError if reward is asked before observe, or if a reward has another shape or is not
    finite.
    """
    examples = Batch(symbol)
    questions = (
        Question("observe", (), (EdgeType((examples, state), dtype),)),
        Question("reward", (EdgeType((examples, action), dtype),), (EdgeType((examples,), dtype),)),
    )
    sizes = ((symbol, batch),)
    return OracleDeclaration(Factory.of(ContextualBandit, reward, questions, sizes, state, dtype), questions, sizes)


@final
class ContextualBandit(Bandit):
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
        super().__init__(seed)
        self._reward: Callable[[Tensor, Tensor], Tensor] = reward() if isinstance(reward, Factory) else reward
        self._question, self._sizes, self._shape = questions[1], dict(sizes), (sizes[0][1], state)
        self._dtype, self._shown = dtype, (-1, torch.empty(0))

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe" or "reward"."""
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

    @torch.no_grad()
    def _rewards(self, action: Tensor) -> tuple[Tensor, ...]:
        answer = checked_answer("bandit", self._question, self._sizes, (self._reward(self._shown[1], action),))
        (reward,) = finite_answer("bandit", self._question, answer)
        self.count(reward)
        return (reward.clone(),)
