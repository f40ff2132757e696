"""Nature as a data set: it answers with batches of items, in a new random order in each epoch."""

import io
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal, TypeAlias, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from antiphon.envs.available_memory import refuse_beyond_memory
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.seeds import at_round, forked
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType, is_dense

Split: TypeAlias = Literal["train", "test"]


@typed
def dataset(
    factory: Callable[..., Any] | Factory,  # Any: what it makes is checked
    *arguments: Any,
    batch: Count,
    symbol: str = "batch",
    shuffle: bool = True,
    **keywords: Any,
) -> OracleDeclaration:
    """Declare a Nature that answers with batches of a map-style torch `Dataset`.

    factory: makes the data set from the arguments. It is called once by this function, to read the types of an item,
    and again on the worker of the oracle. An item is a tensor, an array, a number, or a tuple of these. shuffle: a new
    order in each epoch. Question: sample() -> one output per element of an item, (batch, *shape). An incomplete batch
    at the end of an epoch is dropped. Raises OracleError if the factory does not make such a data set, or has fewer
    items than a batch.
    """
    made = Factory.of(factory, *arguments, **keywords)
    with forked():  # keeps the random streams of the caller unchanged
        values = _item(_open(made, batch), 0, repr(made))
    outputs = tuple(EdgeType((Batch(symbol), *value.shape), value.dtype) for value in values)
    return OracleDeclaration(
        Factory.of(Data, made, batch, shuffle), (Question("sample", (), outputs),), ((symbol, batch),)
    )


@typed
def arrays(
    *columns: Tensor | np.ndarray, batch: Count, symbol: str = "batch", shuffle: bool = True
) -> OracleDeclaration:
    """Declare a Nature that answers with batches of rows of tensors or arrays of equal length.

    Question: sample() -> one output per column, (batch, *shape). The declaration contains a copy of the data.
    Raises OracleError for columns of different lengths, and if there is not enough memory for the copy.
    """
    for index, column in enumerate(columns):
        if column.ndim == 0:
            raise _no_column(index, "a single number")
        if isinstance(column, Tensor) and (column.is_meta or not is_dense(column)):
            raise _no_column(index, f"a tensor of layout {column.layout} on device {column.device}")
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise OracleError(
            f"arrays: expected columns of one length; lengths {lengths} arrived. Correct the shorter ones."
        )
    tensors = [_dense(index, column) for index, column in enumerate(columns)]
    refuse_beyond_memory("arrays: a copy of the data", sum(each.nbytes for each in tensors), "Write a torch Dataset.")
    copies = [each.clone() for each in tensors]  # the caller may change its tensors later
    return dataset(TensorDataset, *copies, batch=batch, symbol=symbol, shuffle=shuffle)


def _dense(index: int, column: Tensor | np.ndarray) -> Tensor:
    if isinstance(column, Tensor):
        return column
    try:
        # torch accepts only the native byte order, and no negative strides.
        return torch.as_tensor(np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("=")))
    except TypeError as error:
        raise _no_column(index, f"an array of {column.dtype}") from error


def _no_column(index: int, arrived: str) -> OracleError:
    return OracleError(
        f"arrays: column {index} is {arrived}; expected numbers or truth values in dense memory. Convert it first."
    )


@typed
def digits(
    batch: Count,
    *,
    split: Split = "train",
    image: bool = False,
    dtype: torch.dtype = torch.float32,
    symbol: str = "batch",
) -> OracleDeclaration:
    """Declare a Nature that answers with 8 x 8 images of handwritten digits, without a download.

    Question: sample() -> x in [0, 1], (batch, 64), or (batch, 1, 8, 8) for an image; y in 0..9, (batch,) int64.
    split: "train" (1437 items) or "test" (360), stratified and always the same.
    """
    return dataset(_digits, split, image, dtype, batch=batch, symbol=symbol)


@typed
def digits_arrays(
    split: Split = "train", image: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return one whole split of the handwritten digits, for evaluation, as two tensors x and y.

    x contains the pixels, (items, 64), from 0 to 1. y contains the digits, (items,), int64 from 0 to 9. With `image`, x
    is (items, 1, 8, 8). Source: the 1797 images of scikit-learn's `load_digits`, the test set of Alpaydin and Kaynak
    (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49,
    CC BY 4.0.
    """
    with np.load(io.BytesIO(files("antiphon.envs").joinpath("digits.npz").read_bytes())) as shipped:
        x, y = (torch.from_numpy(shipped[f"{split}_{column}"]) for column in "xy")
    scaled = x.to(dtype) / 16
    return scaled.reshape(-1, 1, 8, 8) if image else scaled, y.long()


@final
class Data:
    """The oracle that plays a data set during a run, in batches.

    The order of the items depends on seed and epoch only.
    """

    def __init__(self, made: Factory, batch: int, shuffle: bool, *, seed: int) -> None:
        self._data, self._who = _open(made, batch), repr(made)
        self._batch, self._shuffle, self._seed = batch, shuffle, seed
        self._epoch, self._position = 0, 0
        self._order = self._permutation()
        self._columns = _columns(self._data)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the next batch of items."""
        if self._position + self._batch > len(self._order):
            self._epoch, self._position = self._epoch + 1, 0
            self._order = self._permutation()
        rows = self._order[self._position : self._position + self._batch]
        self._position += self._batch
        if self._columns is not None:
            return [column.index_select(0, rows) for column in self._columns]
        # Copies, because a data set may return the same array each time, with other contents.
        items = [tuple(value.clone() for value in _item(self._data, row, self._who)) for row in rows.tolist()]
        return self._stack(items, rows)

    def state(self) -> State:
        """Return the current epoch and the position in the epoch."""
        return {"epoch": self._epoch, "position": self._position}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._epoch, self._position = state["epoch"], state["position"]
        self._order = self._permutation()

    def report(self) -> Mapping[str, float]:
        """Return the number of epochs played, with the fraction of the current epoch."""
        return {"epoch": self._epoch + self._position / len(self._order)}

    def close(self) -> None:
        """Do nothing: this oracle holds nothing that must be closed."""

    def _permutation(self) -> Tensor:
        if not self._shuffle:
            return torch.arange(len(self._data))
        generator = torch.Generator().manual_seed(at_round(self._seed, self._epoch))
        return torch.randperm(len(self._data), generator=generator)

    def _stack(self, items: list[tuple[Tensor, ...]], rows: Tensor) -> list[Tensor]:
        first = [(tuple(value.shape), value.dtype) for value in items[0]]
        for row, item in zip(rows.tolist(), items, strict=True):
            found = [(tuple(value.shape), value.dtype) for value in item]
            if found != first:
                raise OracleError(
                    f"data set {self._who}: item {row} is {found}; expected {first}, like item {int(rows[0])}. "
                    "Make every item of one shape and dtype (crop, pad, resize, convert)."
                )
        return [torch.stack(column) for column in zip(*items, strict=True)]


def _digits(split: Split, image: bool, dtype: torch.dtype) -> TensorDataset:
    return TensorDataset(*digits_arrays(split, image, dtype))


def _columns(data: Any) -> list[Tensor] | None:  # Any: a data set
    """Return the tensors of a `TensorDataset`, which can be indexed with a whole batch at once; else None."""
    return [tensor.contiguous() for tensor in data.tensors] if type(data) is TensorDataset else None


def _open(made: Factory, batch: int) -> Any:  # Any: torch's Dataset has no length in its type
    data: Any = made()
    items = len(data) if hasattr(data, "__len__") and hasattr(data, "__getitem__") else None
    if items is None or isinstance(data, IterableDataset) or not isinstance(data, Dataset):
        raise OracleError(
            f"data set {made!r}: expected a torch Dataset with a length and items by index; a {type(data).__name__} "
            "arrived. Pass a map-style Dataset and its arguments; for tensors there is `arrays`."
        )
    if batch > items:
        raise OracleError(
            f"data set {made!r}: expected a batch of 1 to {items}, which is the number of items; {batch!r} arrived. "
            "Choose another size of the batch."
        )
    return data


def _item(data: Any, index: int, who: str) -> tuple[Tensor, ...]:  # Any: a data set
    item = data[index]
    values = item if isinstance(item, (tuple, list)) else (item,)
    try:
        return tuple(torch.as_tensor(value) for value in values)
    except (TypeError, ValueError, RuntimeError):
        kinds = ", ".join(type(value).__name__ for value in values)
        raise OracleError(
            f"data set {who}: item {index} holds ({kinds}); expected tensors, arrays or numbers. "
            "Give the data set a transform that makes tensors."
        ) from None
