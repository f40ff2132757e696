"""A custom grammar: handwritten digits with one narrow hidden layer."""

import antiphon


def narrow(width: int = 4, batch: int = 32) -> antiphon.Grammar:
    """Backpropagation with `width` hidden units. The table [arguments] of an experiment sets both arguments."""
    return antiphon.backprop(antiphon.digits(batch), antiphon.dense_layers((64,), [width], 10))
