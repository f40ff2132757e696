"""A grammar of one's own: handwritten digits through one narrow hidden layer."""

import antiphon


def narrow(width: int = 4, batch: int = 32) -> antiphon.Grammar:
    """Backpropagation through `width` hidden units; the table [arguments] of an experiment sets both."""
    return antiphon.backprop(antiphon.digits(batch), antiphon.dense_layers((64,), [width], 10))
