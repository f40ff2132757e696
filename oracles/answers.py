"""The one check of what oracles answer, at the boundary between their code and ours."""

from collections.abc import Sequence

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.oracle import Box, Question
from antiphon.grammars.types import Sizes, dtype_name


def checked_answer(oracle: str, question: Question, sizes: Sizes, answer: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The answer as a tuple of tensors of exactly the declared shapes and dtypes; a black box's is detached.

    It costs about a microsecond per output: values are not looked at (see `finite_answer`).
    Raises OracleError naming the oracle, the question, what was expected and what arrived.
    """
    answers = (answer,) if isinstance(answer, Tensor) else answer
    outputs = question.outputs
    # An oracle may be anyone's code, so its answer may be anything: None, a number, a dict.
    if not isinstance(answers, (tuple, list)) or len(answers) != len(outputs):
        raise _otherwise(oracle, question, sizes, answer)
    for value, output in zip(answers, outputs, strict=True):
        if not isinstance(value, Tensor) or value.dtype != output.dtype or value.shape != output.sized(sizes):
            raise _otherwise(oracle, question, sizes, answer)
    if question.box is Box.BLACK and any(value.requires_grad for value in answers):
        return tuple(value.detach() for value in answers)
    return tuple(answers)


def finite_answer(oracle: str, question: Question, answers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The answers themselves, if every number in them is finite. Raises OracleError otherwise."""
    for index, value in enumerate(answers):
        if value.is_floating_point() and not torch.isfinite(value).all():
            wrong = int(torch.isfinite(value).logical_not().sum())
            raise OracleError(
                f"oracle {oracle!r}, question {question.name!r}: output {index} has {wrong} of {value.numel()} numbers "
                "that are NaN or infinite; expected finite numbers. Check the function at the inputs it was handed."
            )
    return answers


def _otherwise(oracle: str, question: Question, sizes: Sizes, answer: object) -> OracleError:
    expected = ", ".join(f"{dtype_name(output.dtype)}{list(output.sized(sizes))}" for output in question.outputs)
    return OracleError(
        f"oracle {oracle!r}, question {question.name!r}: expected the answer ({expected}), as declared; "
        f"{_text(answer)} arrived. Make the oracle answer what its declaration says, or correct the declaration."
    )


def _text(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{dtype_name(value.dtype)}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_text, value))})"
    return f"a {type(value).__name__}"
