"""Nature as text: windows of bytes, and the bytes that follow them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from antiphon.envs.dataset import Split, dataset
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType

_HELD_OUT = 10  # the last of so many parts is the test split


@typed
def text(path: Path | str | None, *, batch: Count, context: Count) -> OracleDeclaration:
    """Declare a Nature that answers with windows of a text, byte by byte, in a new random order in each epoch.

    path: the path of a text file; None for Python's own language reference, which comes with the interpreter (about
    460 kB). context: number of bytes in a window. The last tenth of the text is not used: it is the test split.
    Question: sample() -> x, y. Both are (batch, context), int64 from 0 to 255. y contains, for each byte of x, the next
    byte of the text. Raises OracleError if the file cannot be read, or is too short for one batch.
    """
    return dataset(Windows, str(path) if path is not None else None, context, "train", batch=batch)


@typed
def text_streams(path: Path | str | None, *, batch: Count, context: Count) -> OracleDeclaration:
    """Declare a Nature that reads a text in several places at once, so that a state can be carried from round to round.

    The text without its last tenth is divided into `batch` parts. Each example reads one part, and continues in each
    round where it stopped in the round before. At the end of the parts, all begin again.
    Question: sample() -> x, y, begins. x and y are as in `text`. begins: (batch,), bool, whether the example begins its
    part in this round. Raises OracleError if the file cannot be read, or is too short for one window of each part.
    """
    name = str(path) if path is not None else None
    Streams(name, batch, context, seed=0)  # refuses a text that is too short
    symbols, begins = EdgeType((Batch(), context), torch.int64), EdgeType((Batch(),), torch.bool)
    question = Question("sample", (), (symbols, symbols, begins))
    return OracleDeclaration(Factory.of(Streams, name, batch, context), (question,), (("batch", batch),))


def text_windows(path: Path | str | None, context: Count, split: Split) -> tuple[Tensor, Tensor]:
    """Return all windows of a split of a text, as two int64 tensors x and y, (windows, context) each.

    x contains the bytes of the windows. y contains, for each byte of x, the next byte of the text.
    path: the path of a text file; None for Python's own language reference. context: number of bytes in a window.
    Raises OracleError if the file cannot be read, or is shorter than one window.
    """
    windows = Windows(str(path) if path is not None else None, context, split)
    x, y = zip(*(windows[index] for index in range(len(windows))), strict=True)
    return torch.stack(x), torch.stack(y)


@final
class Windows(Dataset):
    """A data set of the windows of one split of a text, in order and without overlap."""

    def __init__(self, path: str | None, context: int, split: Split) -> None:
        data = _bytes(path)
        end = len(data) - len(data) // _HELD_OUT
        self._data, self._context = data[:end] if split == "train" else data[end:], context
        if len(self._data) <= context:
            raise OracleError(
                f"{_name(path)} has {len(data)} bytes; expected enough for one window of {context} in the {split} "
                "split. Give a longer text, or a shorter context."
            )

    def __len__(self) -> int:
        return (len(self._data) - 1) // self._context

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return window `index` and, for each of its bytes, the byte that follows: (context,) each, int64."""
        start = index * self._context
        window = self._data[start : start + self._context + 1].long()
        return window[:-1], window[1:]


@final
class Streams:
    """The oracle of `text_streams`: parts of a text, read side by side."""

    def __init__(self, path: str | None, batch: int, context: int, *, seed: int) -> None:
        data = _bytes(path)
        data = data[: len(data) - len(data) // _HELD_OUT]
        self._windows = (len(data) - 1) // (batch * context)
        if self._windows == 0:
            raise OracleError(
                f"{_name(path)} has {len(data)} bytes to train on; expected {batch * context + 1} or more, a window of "
                f"{context} for each of {batch} examples. Give a longer text, a smaller batch, or a shorter context."
            )
        self._parts = data[:-1].unfold(0, self._windows * context, self._windows * context)[:batch]
        self._next = data[1:].unfold(0, self._windows * context, self._windows * context)[:batch]
        self._context, self._position = context, 0

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the next window of each part, the bytes that follow, and whether the parts begin."""
        first = self._position * self._context
        begins = torch.full((len(self._parts),), self._position == 0)
        self._position = (self._position + 1) % self._windows
        x, y = (each[:, first : first + self._context].long() for each in (self._parts, self._next))
        return [x, y, begins]

    def state(self) -> State:
        """Return the number of the next window in each part."""
        return {"position": self._position}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._position = state["position"]

    def report(self) -> Mapping[str, float]:
        """Return an empty report."""
        return {}

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def _bytes(path: str | None) -> Tensor:
    try:
        data = Path(path).read_bytes() if path is not None else _reference()
    except OSError as error:
        raise OracleError(
            f"{_name(path)} cannot be read: {error.strerror or error}; expected a file. Name another, or none for "
            "Python's own language reference."
        ) from error
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def _reference() -> bytes:
    from pydoc_data.topics import topics  # here, because it takes a moment

    return "\n".join(topics[name] for name in sorted(topics)).encode()


def _name(path: str | None) -> str:
    return f"the text {path!r}" if path is not None else "Python's language reference"
