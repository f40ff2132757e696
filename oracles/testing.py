"""The conformance test of oracles: a function that users can run on an oracle of their own."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, final

import numpy as np
import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.oracle import Box, Oracle, OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import EdgeType
from antiphon.oracles.answers import checked_answer

_ROUNDS = 6

Answers: TypeAlias = list[tuple[Tensor, ...]]
Failure: TypeAlias = tuple[str, str, str] | None
"""What was expected, what arrived, and the remedy; None if the rule holds."""


@typed
def check_oracle(declaration: OracleDeclaration, *, continues: bool = True) -> None:
    """Check that an oracle keeps the contract of `Oracle`; returns if it does.

    It makes the oracle several times, and asks every question for a few rounds, with inputs from N(0, 1/4).
    continues: a loaded oracle must answer exactly as the saved one would have. Pass False for an oracle whose state
    cannot be saved completely (a simulator); two oracles that load the same state must then still answer alike.
    Raises OracleError with the rule that is broken, what arrived, and the remedy.
    """
    trial = _Trial(declaration)
    streams = _streams()
    resumes = _continues if continues else _resumes_alike
    laws = (_has_methods, _repeats, _keeps_its_box, _keeps_nothing, _leaves_answers, resumes, _owns_state, _reports)
    for law in laws:
        failed = law(trial)
        if failed is not None:
            raise _broken(declaration, *failed)
    if _streams() != streams:
        raise _broken(
            declaration,
            "the global random streams untouched",
            "it drew from one",
            "Draw from a torch.Generator of its own, seeded by the keyword `seed`.",
        )


@final
class _Trial:
    """Plays one declaration: every question once a round, in order, with the same inputs in every play."""

    def __init__(self, declaration: OracleDeclaration) -> None:
        self.declaration, self.sizes = declaration, dict(declaration.sizes)

    def make(self) -> Oracle:
        return self.declaration.make(seed=3)

    def play(self, rounds: range = range(_ROUNDS), spoil: bool = False) -> Answers:
        oracle = self.make()
        try:
            return list(self.answers(oracle, rounds, spoil))
        finally:
            oracle.close()

    def answers(self, oracle: Oracle, rounds: range, spoil: bool = False) -> Iterator[tuple[Tensor, ...]]:
        """Yield copies of the answers. spoil: overwrite each answer at once, and the inputs after the round."""
        for round in rounds:
            handed: list[Tensor] = []
            for question in self.declaration.questions:
                inputs = self.inputs(question, round)
                answer = self.ask(oracle, question, inputs, round)
                yield tuple(value.detach().clone() for value in answer)
                handed.extend(inputs)
                if spoil:
                    _spoil([value.detach() for value in answer])
            if spoil:
                _spoil(handed)

    def ask(self, oracle: Oracle, question: Question, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, ...]:
        answer = oracle.answer(question.name, inputs, round)
        return checked_answer(repr(self.declaration.factory), question, self.sizes, answer)

    def inputs(self, question: Question, round: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(round)
        return [_draw(edge, edge.sized(self.sizes), generator) for edge in question.inputs]


def _has_methods(trial: _Trial) -> Failure:
    oracle = trial.make()
    missing = [name for name in ("answer", "state", "load", "report", "close") if not hasattr(oracle, name)]
    if missing:
        return (
            "the methods answer, state, load, report, close",
            f"{', '.join(missing)} missing",
            "Write what is missing.",
        )
    oracle.close()
    return None


def _keeps_its_box(trial: _Trial) -> Failure:
    oracle = trial.make()
    try:
        for question in trial.declaration.questions:
            inputs = [_leaf(value) for value in trial.inputs(question, 0)]
            answers = oracle.answer(question.name, inputs, 0)
            answers = (answers,) if isinstance(answers, Tensor) else answers
            failed = _box_failure(question, inputs, [value for value in answers if value.requires_grad])
            if failed is not None:
                return failed
    finally:
        oracle.close()
    return None


def _box_failure(question: Question, inputs: Sequence[Tensor], differentiable: Sequence[Tensor]) -> Failure:
    leaves = [value for value in inputs if value.requires_grad]
    if question.box is Box.BLACK and differentiable:
        arrived = f"the answer to {question.name!r} requires a gradient"
        return "a black box to answer values only", arrived, "Compute it under torch.no_grad(), or declare it gray."
    if question.box is Box.GRAY and leaves:
        found = differentiable and torch.autograd.grad(
            [value.sum() for value in differentiable], leaves, allow_unused=True
        )
        if not found or all(gradient is None for gradient in found):
            arrived = f"the answer to {question.name!r} does not depend on its inputs for autograd"
            return "a gray box to be differentiable", arrived, "Compute it with torch operations, or declare it black."
    return None


def _repeats(trial: _Trial) -> Failure:
    if _equal(trial.play(), trial.play()):
        return None
    return "equal seeds to bring equal answers", "two equal plays differ", "Seed all that it draws by `seed`."


def _keeps_nothing(trial: _Trial) -> Failure:
    if _equal(trial.play(), trial.play(spoil=True)):
        return None
    return (
        "answers to belong to the asker, and inputs to be nobody's memory after the round",
        "overwriting them changed the answers that followed",
        "Answer copies, and copy what is kept of the inputs.",
    )


def _continues(trial: _Trial) -> Failure:
    state = _midway(trial)
    foreign = _foreign(state)
    if foreign:
        return "a state of dicts, tensors, numbers, strings, None and lists of these", foreign, "Convert it in state."
    resumed = _resume(trial, state)
    if _equal(resumed, trial.play()[-len(resumed) :]):
        return None
    return (
        "a loaded oracle to continue exactly",
        "its answers differ from those of the oracle that was saved",
        "Save all that the next answers depend on; or, if its world cannot be saved, check with continues=False.",
    )


def _leaves_answers(trial: _Trial) -> Failure:
    """Check that an answer stays unchanged while later questions of the round are answered."""
    oracle, answers, then = trial.make(), [], []
    try:
        for question in trial.declaration.questions:
            answers.append(trial.ask(oracle, question, trial.inputs(question, 0), 0))
            then.append(tuple(value.detach().clone() for value in answers[-1]))
    finally:
        oracle.close()
    if _equal(answers, then):
        return None
    return (
        "an answer to stay as it is",
        "it changed while a later question of the round was answered",
        "Answer in fresh memory.",
    )


def _resumes_alike(trial: _Trial) -> Failure:
    state = _midway(trial)
    foreign = _foreign(state)
    if foreign:
        return "a state of dicts, tensors, numbers, strings, None and lists of these", foreign, "Convert it in state."
    if _equal(_resume(trial, state), _resume(trial, state)):
        return None
    return "two oracles loaded alike to answer alike", "their answers differ", "Seed what load draws by seed and state."


def _owns_state(trial: _Trial) -> Failure:
    kept = _resume(trial, _midway(trial))
    state = _midway(trial)
    spoilt = _resume(trial, state, then=lambda: _spoil(list(_tensors(state))))
    if _equal(kept, spoilt) and _equal(trial.play(), _saved_on_the_way(trial)):
        return None
    return (
        "a state in memory of its own",
        "overwriting a state that was saved or loaded changed the answers that followed",
        "Copy tensors in state and in load.",
    )


def _reports(trial: _Trial) -> Failure:
    oracle = trial.make()
    try:
        list(trial.answers(oracle, range(_ROUNDS)))
        report = oracle.report()
    finally:
        oracle.close()
    if isinstance(report, Mapping) and all(isinstance(value, (int, float)) for value in report.values()):
        return None
    return "a report of numbers by name", repr(report), "Return a dict of floats, which may be empty."


def _midway(trial: _Trial) -> State:
    oracle = trial.make()
    try:
        list(trial.answers(oracle, range(_ROUNDS // 2)))
        return oracle.state()
    finally:
        oracle.close()


def _resume(trial: _Trial, state: State, then: Callable[[], None] = lambda: None) -> Answers:
    oracle = trial.make()
    try:
        oracle.load(state)
        then()
        return list(trial.answers(oracle, range(_ROUNDS // 2, _ROUNDS)))
    finally:
        oracle.close()


def _saved_on_the_way(trial: _Trial) -> Answers:
    oracle, answers = trial.make(), []
    try:
        for round in range(_ROUNDS):
            answers.extend(trial.answers(oracle, range(round, round + 1)))
            _spoil(list(_tensors(oracle.state())))
        return answers
    finally:
        oracle.close()


def _draw(edge: EdgeType, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if edge.dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=edge.dtype).mul_(0.5)
    return torch.randint(0, 2, shape, generator=generator).to(edge.dtype)


def _leaf(value: Tensor) -> Tensor:
    return value.requires_grad_() if value.is_floating_point() else value


def _spoil(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.fill_(1 if tensor.dtype == torch.bool else 77)


def _tensors(value: Any) -> Iterator[Tensor]:  # Any: a state has leaves of several types
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _foreign(value: Any) -> str:  # Any: a state that may break its contract
    if isinstance(value, dict):
        keys = next((f"a key of type {type(key).__name__}" for key in value if not isinstance(key, str)), "")
        return keys or next(filter(None, map(_foreign, value.values())), "")
    if isinstance(value, list):
        return next(filter(None, map(_foreign, value)), "")
    known = isinstance(value, (Tensor, int, float, str)) or value is None
    return "" if known else f"a {type(value).__name__} in it"


def _equal(one: Answers, other: Answers) -> bool:
    return len(one) == len(other) and all(
        torch.equal(mine, yours)
        for left, right in zip(one, other, strict=True)
        for mine, yours in zip(left, right, strict=True)
    )


def _streams() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), kind, np.asarray(keys).tobytes(), tuple(rest)


def _broken(declaration: OracleDeclaration, expected: str, arrived: str, remedy: str) -> OracleError:
    return OracleError(f"oracle {declaration.factory!r} breaks its contract: expected {expected}; {arrived}. {remedy}")
