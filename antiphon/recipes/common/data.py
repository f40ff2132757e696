"""The data of an experiment: the library's, by name, or the user's own, `module:function`."""

from collections.abc import Callable, Mapping

from pydantic import Field

from antiphon.errors import ExperimentError
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.plugins import made
from antiphon.recipes.common.tables import Arguments, Count, Table


class DataTable(Table):
    """Settings of an experiment on data.

    data: a name, or "module:function"; the function is called with batch and data_arguments, and returns an oracle's
    declaration.
    """

    data: str = "digits"
    data_arguments: Arguments = Field(default={})
    batch: Count = 64


def nature_of(
    key: str, table: DataTable, library: Mapping[str, Callable[[], OracleDeclaration]], *, labelled: bool = False
) -> OracleDeclaration:
    """Nature over the data of a table.

    key: of the table, for errors.
    library: makes the declaration, for each name of the library's data.
    labelled: whether the user's oracle must answer (x, y).
    Raises ExperimentError for a wrong name, or if the user's function returns something else.
    """
    data = table.data
    if data in library:
        return library[data]()
    if ":" not in data:
        raise ExperimentError(
            f"key '{key}.data' takes {', '.join(map(repr, library))} or 'module:function', and {data!r} arrived. "
            "Correct the value."
        )
    declaration = made("data", data, {"batch": table.batch, **table.data_arguments})
    fits = isinstance(declaration, OracleDeclaration)
    if not fits or (labelled and len(declaration.questions[0].outputs) != 2):
        raise ExperimentError(
            f"data {data!r} returned {declaration!r}; expected the declaration of an oracle "
            f"{'that answers (x, y)' if labelled else 'whose first answer is x'}. "
            "Return antiphon.dataset(...) or an OracleDeclaration of your own."
        )
    return declaration


def example_of(nature: OracleDeclaration) -> tuple[int, ...]:
    """The shape of one x, the first answer to the first question, without the batch."""
    return tuple(size for size in nature.questions[0].outputs[0].shape if isinstance(size, int))


def width_of(key: str, nature: OracleDeclaration) -> int:
    """The width of x. key: of the table. Raises ExperimentError unless x is (batch, width)."""
    played = nature.questions[0].outputs[0]
    width = played.shape[-1] if len(played.shape) == 2 else None
    if not isinstance(width, int):
        raise ExperimentError(
            f"key '{key}.data' names data whose first value is {played!r}; expected vectors, (batch, width). "
            "Flatten them."
        )
    return width


def check_halvings(key: str, example: tuple[int, ...], channels: list[int]) -> None:
    """Raise ExperimentError unless the image can be halved once for each of the convolutions. key: of the table."""
    halvings = 2 ** len(channels)
    if len(example) != 3 or example[1] % halvings or example[2] % halvings:
        raise ExperimentError(
            f"key '{key}.network' is 'convolutional' with {len(channels)} channels for examples of the shape "
            f"{example}; expected (channels, height, width), both sizes divisible by {halvings}. "
            'Use fewer channels, other data, or network = "dense".'
        )
