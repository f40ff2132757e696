"""Nature as text: windows of bytes, and the bytes that follow them."""

from pathlib import Path
from typing import final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from antiphon.envs.dataset import Split, dataset
from antiphon.errors import OracleError
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed

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
