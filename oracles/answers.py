"""Checks the answers of oracles, because the code of an oracle may come from a user."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.oracle import Box, Question
from antiphon.grammars.types import Sizes, dtype_name


def answer_check(
    oracle: str, question: Question, sizes: Sizes
) -> Callable[[Tensor | Sequence[Tensor]], tuple[Tensor, ...]]:
    """Return a function that checks the shapes and dtypes of an oracle's answer, and returns it as a tuple of tensors.

    The function is called once per answer. It takes less than a microsecond per output, because it does not read the
    values: they may be NaN or infinite. It detaches the answer of a black box.
    It raises OracleError with the oracle, the question, what was expected and what arrived.
    """
    expected, black = [(each.sized(sizes), each.dtype) for each in question.outputs], question.box is Box.BLACK

    def checked(answer: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        answers = (answer,) if isinstance(answer, Tensor) else answer
        # An oracle may be code of a user, so its answer may be anything: None, a number, a dict.
        if not isinstance(answers, (tuple, list)) or len(answers) != len(expected):
            raise _otherwise(oracle, question, sizes, answer)
        for value, (shape, dtype) in zip(answers, expected, strict=True):
            if not isinstance(value, Tensor) or value.dtype != dtype or value.shape != shape:
                raise _otherwise(oracle, question, sizes, answer)
        if black and any(value.requires_grad for value in answers):
            return tuple([value.detach() for value in answers])
        return tuple(answers)

    return checked


def checked_answer(oracle: str, question: Question, sizes: Sizes, answer: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Check that an oracle's answer has the declared shapes and dtypes, and return it as a tuple of tensors.

    The answer of a black box is detached.
    Raises OracleError with the oracle, the question, what was expected and what arrived.
    """
    return answer_check(oracle, question, sizes)(answer)


def finite_answer(oracle: str, question: Question, answers: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the answers of an oracle unchanged. Raises OracleError if they contain NaN or infinity."""
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
