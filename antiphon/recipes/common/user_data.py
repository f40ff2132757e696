"""The user's own data in an experiment: `module:function`; the function returns the declaration of an oracle."""

from collections.abc import Mapping
from typing import Any

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.plugins import made


def own_data(
    key: str, data: str, arguments: Mapping[str, Any], batch: int, shipped: str, *, labelled: bool = False
) -> OracleDeclaration:
    """The declaration that the function returns. It is called with `batch` and the arguments. Any: a user's arguments.

    key: of the experiment.
    shipped: names of the library's data, for errors.
    labelled: whether the oracle must answer (x, y).
    Raises ExperimentError for a wrong name, or if the function returns something else.
    """
    if ":" not in data:
        raise ExperimentError(
            f"key {key!r} takes {shipped} or 'module:function', and {data!r} arrived. Correct the value."
        )
    declaration = made("data", data, {"batch": batch, **arguments})
    fits = isinstance(declaration, OracleDeclaration)
    if not fits or (labelled and len(declaration.questions[0].outputs) != 2):
        raise ExperimentError(
            f"data {data!r} returned {declaration!r}; expected the declaration of an oracle"
            f"{' that answers (x, y)' if labelled else ''}. "
            "Return antiphon.dataset(...) or an OracleDeclaration of your own."
        )
    return declaration


def width_of(key: str, declaration: OracleDeclaration) -> int:
    """The width of x, the first answer to the first question. Raises ExperimentError unless x is (batch, width)."""
    played = declaration.questions[0].outputs[0]
    width = played.shape[-1] if len(played.shape) == 2 else None
    if not isinstance(width, int):
        raise ExperimentError(
            f"key {key!r} names data whose first value is {played!r}; expected vectors, (batch, width). Flatten them."
        )
    return width
