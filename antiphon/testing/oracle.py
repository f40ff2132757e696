"""The conformance test of oracles (data sets, environments, noise): a function for users' own oracles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TypeAlias, final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.oracle import Box, Oracle, OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.answers import checked_answer
from antiphon.testing.laws import check_laws, demand, demand_methods, demand_saved, spoil

_ROUNDS = 6

Answers: TypeAlias = list[tuple[Tensor, ...]]


@typed
def check_oracle(declaration: OracleDeclaration, *, continues: bool = True) -> None:
    """Test whether an oracle keeps the contract of the interface `Oracle`.

    The test makes the oracle several times, and asks every question for a few rounds, with inputs from N(0, 1/4).
    continues: whether an oracle that loads a saved state must continue exactly as the saved oracle. Pass False if the
    state cannot be saved completely (a simulator). Then two oracles that load the same state must answer alike.
    Returns None if the contract is kept. Otherwise raises OracleError, whose message names the broken rule, what the
    oracle did, and the remedy.
    """
    resumes = _continues if continues else _resumes_alike
    laws = (_has_methods, _repeats, _keeps_its_box, _keeps_nothing, _leaves_answers, resumes, _owns_state, _reports)
    who = f"oracle {declaration.factory!r}"
    check_laws(laws, _Trial(declaration), who, OracleError, "the keyword `seed`")


@final
class _Trial:
    """Makes the oracle of a declaration, and asks every question once per round with always the same inputs."""

    def __init__(self, declaration: OracleDeclaration) -> None:
        self.declaration, self.sizes = declaration, dict(declaration.sizes)

    def make(self) -> closing[Oracle]:
        return closing(self.declaration.make(seed=3))

    def play(self, overwrite: bool = False) -> Answers:
        with self.make() as oracle:
            return list(self.answers(oracle, range(_ROUNDS), overwrite))

    def answers(self, oracle: Oracle, rounds: range, overwrite: bool = False) -> Iterator[tuple[Tensor, ...]]:
        """Ask all questions in each of the given rounds, and yield a copy of each answer.

        overwrite: if true, overwrite each answer after copying it, and the inputs at the end of the round.
        """
        for round in rounds:
            handed: list[Tensor] = []
            for question in self.declaration.questions:
                inputs = self.inputs(question, round)
                answer = self.ask(oracle, question, inputs, round)
                yield tuple(value.detach().clone() for value in answer)
                handed.extend(inputs)
                if overwrite:
                    spoil(answer)
            if overwrite:
                spoil(handed)

    def ask(self, oracle: Oracle, question: Question, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        answer = oracle.answer(question.name, inputs, round)
        return checked_answer(repr(self.declaration.factory), question, self.sizes, answer)

    def inputs(self, question: Question, round: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(round)
        return [_draw(edge, edge.sized(self.sizes), generator) for edge in question.inputs]


def _has_methods(trial: _Trial) -> None:
    oracle = trial.declaration.make(seed=3)
    demand_methods(oracle, "answer", "state", "load", "report", "close")
    oracle.close()


def _keeps_its_box(trial: _Trial) -> None:
    with trial.make() as oracle:
        for question in trial.declaration.questions:
            inputs = [_leaf(value) for value in trial.inputs(question, 0)]
            answers = oracle.answer(question.name, inputs, 0)
            answers = (answers,) if isinstance(answers, Tensor) else answers
            _demand_box(question, inputs, [value for value in answers if value.requires_grad])


def _demand_box(question: Question, inputs: Sequence[Tensor], differentiable: Sequence[Tensor]) -> None:
    leaves = [value for value in inputs if value.requires_grad]
    arrived = f"the answer to {question.name!r} requires a gradient"
    remedy = "Compute it under torch.no_grad(), or declare it gray."
    demand(question.box is not Box.BLACK or not differentiable, "a black box to answer values only", arrived, remedy)
    if question.box is Box.GRAY and leaves:
        found = differentiable and torch.autograd.grad(
            [value.sum() for value in differentiable], leaves, allow_unused=True
        )
        depends = any(gradient is not None for gradient in found or ())
        arrived = f"the answer to {question.name!r} does not depend on its inputs for autograd"
        demand(
            depends,
            "a gray box to be differentiable",
            arrived,
            "Compute it with torch operations, or declare it black.",
        )


def _repeats(trial: _Trial) -> None:
    demand(
        _equal(trial.play(), trial.play()),
        "equal seeds to bring equal answers",
        "two equal plays differ",
        "Seed all that it draws by `seed`.",
    )


def _keeps_nothing(trial: _Trial) -> None:
    demand(
        _equal(trial.play(), trial.play(overwrite=True)),
        "answers to belong to the asker, and inputs to be nobody's memory after the round",
        "overwriting them changed the answers that followed",
        "Answer copies, and copy what is kept of the inputs.",
    )


def _continues(trial: _Trial) -> None:
    state = _midway(trial)
    demand_saved(state)
    resumed = _resume(trial, state)
    demand(
        _equal(resumed, trial.play()[-len(resumed) :]),
        "a loaded oracle to continue exactly",
        "its answers differ from those of the oracle that was saved",
        "Save all that the next answers depend on; or, if its world cannot be saved, check with continues=False.",
    )


def _leaves_answers(trial: _Trial) -> None:
    """Test that an answer stays unchanged while later questions of the same round are answered."""
    answers, then = [], []
    with trial.make() as oracle:
        for question in trial.declaration.questions:
            answers.append(trial.ask(oracle, question, trial.inputs(question, 0), 0))
            then.append(tuple(value.detach().clone() for value in answers[-1]))
    demand(
        _equal(answers, then),
        "an answer to stay as it is",
        "it changed while a later question of the round was answered",
        "Answer in fresh memory.",
    )


def _resumes_alike(trial: _Trial) -> None:
    state = _midway(trial)
    demand_saved(state)
    demand(
        _equal(_resume(trial, state), _resume(trial, state)),
        "two oracles loaded alike to answer alike",
        "their answers differ",
        "Seed what load draws by seed and state.",
    )


def _owns_state(trial: _Trial) -> None:
    kept = _resume(trial, _midway(trial))
    state = _midway(trial)
    spoilt = _resume(trial, state, then=lambda: spoil(state))
    demand(
        _equal(kept, spoilt) and _equal(trial.play(), _saved_on_the_way(trial)),
        "a state in memory of its own",
        "overwriting a state that was saved or loaded changed the answers that followed",
        "Copy tensors in state and in load.",
    )


def _reports(trial: _Trial) -> None:
    with trial.make() as oracle:
        list(trial.answers(oracle, range(_ROUNDS)))
        report = oracle.report()
    demand(
        isinstance(report, Mapping) and all(isinstance(value, (int, float)) for value in report.values()),
        "a report of numbers by name",
        repr(report),
        "Return a dict of floats, which may be empty.",
    )


def _midway(trial: _Trial) -> State:
    with trial.make() as oracle:
        list(trial.answers(oracle, range(_ROUNDS // 2)))
        return oracle.state()


def _resume(trial: _Trial, state: State, then: Callable[[], None] = lambda: None) -> Answers:
    with trial.make() as oracle:
        oracle.load(state)
        then()
        return list(trial.answers(oracle, range(_ROUNDS // 2, _ROUNDS)))


def _saved_on_the_way(trial: _Trial) -> Answers:
    answers = []
    with trial.make() as oracle:
        for round in range(_ROUNDS):
            answers.extend(trial.answers(oracle, range(round, round + 1)))
            spoil(oracle.state())
    return answers


def _draw(edge: EdgeType, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if edge.dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=edge.dtype).mul_(0.5)
    return torch.randint(0, 2, shape, generator=generator).to(edge.dtype)


def _leaf(value: Tensor) -> Tensor:
    return value.requires_grad_() if value.is_floating_point() else value


def _equal(one: Answers, other: Answers) -> bool:
    return len(one) == len(other) and all(
        torch.equal(mine, yours)
        for left, right in zip(one, other, strict=True)
        for mine, yours in zip(left, right, strict=True)
    )
