"""EdgeType: shapes with a symbolic batch, compared without their order."""

import torch

from antiphon.errors import ShapeError
from antiphon.grammars.types import Batch, EdgeType, Order


def test_a_type_reads_as_it_is_written_in_papers():
    assert repr(EdgeType((Batch(), Batch("time", 2), 3), torch.int64)) == "int64[batch, 2*time, 3]"
    assert repr(EdgeType(())) == "float32[]"


def test_sizes_replace_symbols_and_their_multiples():
    assert EdgeType((Batch(factor=3), 2, Batch("time"))).sized({"batch": 5, "time": 7}) == (15, 2, 7)


def test_a_symbol_without_size_is_refused(refusal):
    assert refusal(ShapeError, lambda: EdgeType((Batch("time"),)).sized({"batch": 5})) == (
        "dimension 'time' has no size; sizes are known for ['batch']. "
        "Declare it in the `sizes` of the oracle that plays it."
    )


def test_composition_looks_at_shape_and_dtype_alone():
    one = EdgeType((Batch(), 3))
    assert one.composes_with(one.of_order(Order.FIRST))
    assert one != one.of_order(Order.FIRST)
    assert not one.composes_with(EdgeType((Batch(), 4)))
    assert not one.composes_with(EdgeType((Batch(), 3), torch.float64))
