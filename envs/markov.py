"""Nature as a Markov decision process: transitions are drawn, walked, or all played with their probabilities."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from antiphon.envs.markov_process import MarkovProcess, check_distribution
from antiphon.envs.transitions import Outcomes, Transitions, Walk
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.black_box import black_box


@typed
def markov(
    process: MarkovProcess,
    *,
    play: Literal["all", "draw", "walk"] = "all",
    batch: Count | None = None,
    behaviour: Tensor | None = None,
    policy: Tensor | None = None,
    distribution: Tensor | None = None,
    symbol: str = "batch",
) -> OracleDeclaration:
    """Declare a Nature that plays transitions of a process.

    play: "all" plays every possible transition, weighted with its probability; a mean over the batch is then the
    expectation. "draw" plays `batch` independent transitions. "walk" plays one step of each of `batch` walkers, which
    begin again when an episode ends. behaviour: probabilities of actions, (states, actions); default uniform.
    policy: the policy to evaluate, default `behaviour`; the weights contain the importance ratio policy / behaviour.
    distribution: distribution of s, (states,), for "all" and "draw"; default uniform over the states that are not
    terminal.

    Questions, in the dtype of the features; s and s' are features, a is a one-hot vector:
    sample() -> s, a, r, s', terminated, weight.
    pair() -> s, r1, s1', terminated1, r2, s2', terminated2, weight (for "all" and "draw"): two transitions from the
    same s, with independent actions.
    observe() -> s, and step(a) -> r, s', terminated (for "walk").
    Raises OracleError if probabilities have a wrong shape or do not add up to 1, if `distribution` contains terminal
    states, if `policy` takes an action that `behaviour` never takes, or if `batch` is not given exactly for "draw" and
    "walk".
    """
    behaviour = process.uniform_policy if behaviour is None else behaviour.double()
    policy = behaviour if policy is None else policy.double()
    distribution = process.uniform_distribution if distribution is None else distribution.double()
    _check(process, behaviour, policy, distribution)
    if (play == "all") != (batch is None):
        raise OracleError(
            f"markov: play is {play!r} and batch is {batch!r}; expected a batch of at least 1 to draw or walk, "
            "and none for 'all', whose size follows from the process. Correct one of them."
        )
    if play == "walk":
        factory = Factory.of(Walk, process, behaviour, policy, batch)
        return OracleDeclaration(factory, (_sample(process, symbol), *_steps(process, symbol)), ((symbol, batch or 0),))
    factory = Factory.of(Transitions, process, behaviour, policy, distribution, batch)
    if batch is not None:
        return OracleDeclaration(factory, (_sample(process, symbol), _pair(process, symbol)), ((symbol, batch),))
    outcomes, of_pairs = Outcomes.of(process, behaviour, policy, distribution), f"{symbol} of pairs"
    sizes = ((symbol, len(outcomes.chance)), (of_pairs, len(outcomes.pairs[0])))
    return OracleDeclaration(factory, (_sample(process, symbol), _pair(process, of_pairs)), sizes)


@typed
def chooser(process: MarkovProcess, actions: Sequence[int], *, size: int, symbol: str = "batch") -> OracleDeclaration:
    """Declare a deterministic policy mu as a black box: choose(s) -> a, a one-hot vector, (batch, actions).

    actions: the action of every state. The features of different states must differ. size: size of the batch.
    Raises OracleError unless there is one valid action per state.
    """
    table = torch.as_tensor(list(actions))
    if table.shape != (process.states,) or not (table >= 0).all() or not (table < process.actions).all():
        raise OracleError(
            f"chooser: expected {process.states} actions, one per state, from 0 to {process.actions - 1}; "
            f"{list(actions)} arrived. Name the action of every state."
        )
    state, action, _ = _edges(process, symbol)
    factory = Factory.of(Choice, process.features, table, process.actions)
    return black_box(factory, [state], [action], sizes={symbol: size}, question="choose")


class Choice:
    """A deterministic policy, given as an action for every state.

    It takes the action of the state with the nearest features.
    """

    def __init__(self, features: Tensor, table: Tensor, actions: int) -> None:
        self._features, self._table, self._actions = features, table, actions

    def __call__(self, state: Tensor) -> Tensor:
        """Return one-hot actions, (batch, actions). state: (batch, width)."""
        chosen = self._table[torch.cdist(state, self._features).argmin(1)]
        return torch.nn.functional.one_hot(chosen, self._actions).to(state.dtype)


def _sample(process: MarkovProcess, symbol: str) -> Question:
    state, action, number = _edges(process, symbol)
    return Question("sample", (), (state, action, number, state, number, number))


def _pair(process: MarkovProcess, symbol: str) -> Question:
    state, _, number = _edges(process, symbol)
    return Question("pair", (), (state, number, state, number, number, state, number, number))


def _steps(process: MarkovProcess, symbol: str) -> tuple[Question, Question]:
    state, action, number = _edges(process, symbol)
    return Question("observe", (), (state,)), Question("step", (action,), (number, state, number))


def _edges(process: MarkovProcess, symbol: str) -> tuple[EdgeType, EdgeType, EdgeType]:
    """Return three edge types: a batch of states, of one-hot actions, and of numbers."""
    widths = ((process.features.shape[1],), (process.actions,), ())
    state, action, number = (EdgeType((Batch(symbol), *width), process.features.dtype) for width in widths)
    return state, action, number


def _check(process: MarkovProcess, behaviour: Tensor, policy: Tensor, distribution: Tensor) -> None:
    for name, probabilities in (("behaviour", behaviour), ("policy", policy)):
        if probabilities.shape != (process.states, process.actions):
            raise OracleError(
                f"markov: {name} has shape {tuple(probabilities.shape)}; expected "
                f"{(process.states, process.actions)}, a probability for each action in each state. Correct it."
            )
        check_distribution(name, probabilities)
    check_distribution("distribution", distribution)
    if (distribution[process.terminal] > 0).any():
        raise OracleError(
            "markov: distribution gives terminal states a probability; expected none, since nothing is played from "
            "them. Leave them out."
        )
    if ((policy > 0) & (behaviour == 0))[~process.terminal].any():
        raise OracleError(
            "markov: policy takes actions that behaviour never takes; expected behaviour to try them all, or their "
            "outcomes are never seen. Give them some probability."
        )
