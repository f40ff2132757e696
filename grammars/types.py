"""The type of an edge: a shape with a symbolic batch, a dtype, and an order."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, TypeAlias

import torch

from antiphon.errors import ShapeError
from antiphon.grammars.typed import typed


class Order(StrEnum):
    """The order of information: a value is of zeroth order, a derivative of first order (essay, Definition 3)."""

    ZEROTH = "zeroth"
    FIRST = "first"


@typed
@dataclass(frozen=True, slots=True)
class Batch:
    """A symbolic dimension: a name times a constant factor. An oracle declares the size that the name stands for.

    >>> Batch("batch", 4)
    4*batch
    """

    name: str = "batch"
    factor: int = 1

    def __repr__(self) -> str:
        return self.name if self.factor == 1 else f"{self.factor}*{self.name}"


DTYPES = (
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32),
    *(torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex32, torch.complex64),
    *(torch.complex128, torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz),
    torch.float8_e8m0fnu,
)
"""The dtypes that torch can convert: no quantized dtypes, and none smaller than a byte."""


def is_dense(value: torch.Tensor) -> bool:
    """Whether the tensor stores its numbers one by one, so it is not sparse, nested or quantized."""
    return value.layout is torch.strided and not value.is_nested and value.dtype in DTYPES


Dimension: TypeAlias = int | Batch
Sizes: TypeAlias = Mapping[str, int]


@typed
@dataclass(frozen=True, slots=True)
class EdgeType:
    """Shape, dtype and order of the values on one edge, known before the first round.

    >>> EdgeType((Batch(), 3))
    float32[batch, 3]
    >>> EdgeType((Batch("batch", 2), 3)).sized({"batch": 5})
    (10, 3)
    """

    shape: tuple[Dimension, ...]
    dtype: Annotated[torch.dtype, DTYPES] = torch.float32
    order: Order = Order.ZEROTH

    def sized(self, sizes: Sizes) -> tuple[int, ...]:
        """Return the shape with a number for every symbolic dimension.

        Raises ShapeError for a symbol that has no size.
        """
        return tuple(_size(dimension, sizes) for dimension in self.shape)

    def composes_with(self, other: "EdgeType", sizes: Sizes = MappingProxyType({})) -> bool:
        """Whether a value of this type may be used where a value of the other type is expected. The order does not
        matter.

        sizes: sizes of the declared symbols. A constant and a symbolic dimension of the same declared size fit each
        other.

        >>> EdgeType((8, 3)).composes_with(EdgeType((Batch(), 3)), {"batch": 8})
        True
        """
        if self.dtype != other.dtype or len(self.shape) != len(other.shape):
            return False
        return all(_composes(one, two, sizes) for one, two in zip(self.shape, other.shape, strict=True))

    @property
    def has_gradient(self) -> bool:
        """Whether values of this type are real or complex numbers. Integers and booleans have no derivative."""
        return self.dtype.is_floating_point or self.dtype.is_complex

    def of_order(self, order: Order) -> "EdgeType":
        """Return the type with the same shape and dtype, and the given order."""
        return EdgeType(self.shape, self.dtype, order)

    def __repr__(self) -> str:
        return f"{dtype_name(self.dtype)}[{', '.join(map(repr, self.shape))}]"


def _composes(one: Dimension, two: Dimension, sizes: Sizes) -> bool:
    if one == two:
        return True
    known = all(isinstance(each, int) or each.name in sizes for each in (one, two))
    return known and isinstance(one, int) != isinstance(two, int) and _size(one, sizes) == _size(two, sizes)


def _size(dimension: Dimension, sizes: Sizes) -> int:
    if isinstance(dimension, int):
        return dimension
    if dimension.name not in sizes:
        raise ShapeError(
            f"dimension {dimension.name!r} has no size; sizes are known for {sorted(sizes)}. "
            "Declare it in the `sizes` of the oracle that plays it."
        )
    return dimension.factor * sizes[dimension.name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without its module.

    >>> dtype_name(torch.float64)
    'float64'
    """
    return str(dtype).removeprefix("torch.")
