"""Get the data of an experiment: from the library by name, or by a user's function "module:function"."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.plugins import made
from antiphon.recipes.common.tables import Arguments, Count, Table


class DataTable(Table):
    """Settings of an experiment on a data set.

    data: the name of a data set of the library, or "module:function". The function is called with `batch` and
    data_arguments as keywords, and must return the declaration of an oracle.
    batch: number of examples in a batch.
    """

    data: str = "digits"
    data_arguments: Arguments = Field(default={})
    batch: Count = 64


def nature_of(
    key: str, table: DataTable, library: Mapping[str, Callable[[], OracleDeclaration]], *, labelled: bool = False
) -> OracleDeclaration:
    """Declare the oracle that plays the data set of the setting `data`.

    key: the key of `table` in the experiment, for error messages.
    library: for each data set of the library, a function that makes the declaration.
    labelled: whether a user's oracle must answer (x, y).
    Raises ExperimentError for an unknown name, or if a user's function returns no such declaration.
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
    """Call the function that `name` refers to, and return its result.

    name: a key of `library`, or "module:function" for a user's function. arguments: passed to the user's function.
    key: the key in the experiment that holds the name, for error messages.
    Raises ExperimentError for an unknown name.
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
    """Return the shape of one example of a data set, without the batch dimension.

    nature: the declaration of the data set's oracle. Examples are the first output of its first question.
    """
    return tuple(size for size in nature.questions[0].outputs[0].shape if isinstance(size, int))


def width_of(key: str, nature: OracleDeclaration) -> int:
    """Return the width of the examples of a data set. Raises ExperimentError unless their shape is (batch, width).

    key: the key of the settings in the experiment, for error messages.
    nature: the declaration of the data set's oracle.
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
    """Raise ExperimentError unless the examples are images whose height and width can be halved by each convolution.

    key: the key of the settings in the experiment, for the message. example: shape of an example. channels: output
    channels of the convolutions.
    """
    halvings = 2 ** len(channels)
    if len(example) != 3 or example[1] % halvings or example[2] % halvings:
        raise ExperimentError(
            f"key '{key}.network' is 'convolutional' with {len(channels)} channels for examples of the shape "
            f"{example}; expected (channels, height, width), both sizes divisible by {halvings}. "
            'Use fewer channels, other data, or network = "dense".'
        )
