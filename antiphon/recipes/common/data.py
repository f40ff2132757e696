"""Get the data of an experiment: from the library by name, or from a user's function "module:function"."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.plugins import made
from antiphon.recipes.common.tables import Arguments, Count, Table


class DataTable(Table):
    """Settings of an experiment on data.

    data: a name from the library, or "module:function". The function is called with the keywords batch and
    data_arguments, and returns the declaration of an oracle.
    batch: number of examples in a batch.
    """

    data: str = "digits"
    data_arguments: Arguments = Field(default={})
    batch: Count = 64


def nature_of(
    key: str, table: DataTable, library: Mapping[str, Callable[[], OracleDeclaration]], *, labelled: bool = False
) -> OracleDeclaration:
    """Declare Nature for the data of a table.

    key: the table's key in the experiment, for errors.
    library: for each name of the library's data, a function that makes the declaration.
    labelled: whether the user's oracle must answer (x, y).
    Raises ExperimentError for a wrong name, or if the user's function returns something else.
    """
    declaration = shipped_or_made(f"{key}.data", table.data, library, {"batch": table.batch, **table.data_arguments})
    fits = isinstance(declaration, OracleDeclaration)
    if not fits or (labelled and len(declaration.questions[0].outputs) != 2):
        raise ExperimentError(
            f"data {table.data!r} returned {declaration!r}; expected the declaration of an oracle "
            f"{'that answers (x, y)' if labelled else 'whose first answer is x'}. "
            "Return antiphon.dataset(...) or an OracleDeclaration of your own."
        )
    return declaration


def shipped_or_made(
    key: str, name: str, library: Mapping[str, Callable[[], Any]], arguments: Mapping[str, Any]
) -> Any:  # Any: a user's function may return anything
    """Return what the library makes under this name, or what the user's function "module:function" returns.

    key: the key in the experiment that holds the name, for errors. arguments: those of the user's function.
    Raises ExperimentError for a wrong name.
    """
    if name in library:
        return library[name]()
    if ":" not in name:
        raise ExperimentError(
            f"key {key!r} takes {', '.join(map(repr, library))} or 'module:function', and {name!r} arrived. "
            "Correct the value."
        )
    return made(key.rpartition(".")[2], name, arguments)


def example_of(nature: OracleDeclaration) -> tuple[int, ...]:
    """Return the shape of an example without the batch. Examples are the first answer to Nature's first question."""
    return tuple(size for size in nature.questions[0].outputs[0].shape if isinstance(size, int))


def width_of(key: str, nature: OracleDeclaration) -> int:
    """Return the width of the examples. Raises ExperimentError unless they are (batch, width).

    key: the table's key in the experiment, for errors.
    """
    played = nature.questions[0].outputs[0]
    width = played.shape[-1] if len(played.shape) == 2 else None
    if not isinstance(width, int):
        raise ExperimentError(
            f"key '{key}.data' names data whose first value is {played!r}; expected vectors, (batch, width). "
            "Flatten them."
        )
    return width


def check_halvings(key: str, example: tuple[int, ...], channels: list[int]) -> None:
    """Raise ExperimentError unless the examples are images whose sizes can be halved once for each convolution.

    key: the table's key in the experiment. example: shape of an example. channels: of the convolutions.
    """
    halvings = 2 ** len(channels)
    if len(example) != 3 or example[1] % halvings or example[2] % halvings:
        raise ExperimentError(
            f"key '{key}.network' is 'convolutional' with {len(channels)} channels for examples of the shape "
            f"{example}; expected (channels, height, width), both sizes divisible by {halvings}. "
            'Use fewer channels, other data, or network = "dense".'
        )
