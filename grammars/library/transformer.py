"""A decoder-only transformer, a language model, whose blocks are players with exact gradients.

Pre-norm blocks (Xiong et al., 2020) with causal attention (Vaswani et al., 2017), and one matrix for input and output
(Press and Wolf, 2017). The player of that matrix is asked twice in a round and receives the sum of two gradients.
"""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, scaled_dot_product_attention

from antiphon.errors import GrammarError
from antiphon.grammars import Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.numbers import Count


@typed
@final
class TiedEmbedding(nn.Module):
    """The first and the last layer of a language model, with one matrix for both.

    For symbols, (batch, time), int64, it returns the matrix's row of each symbol plus a learned row of its position,
    (batch, time, width). For vectors, (batch, time, width), it normalises them, multiplies them with the matrix, and
    returns logits, (batch, time, symbols). The time is at most `context`.
    """

    def __init__(self, symbols: Count, width: Count, context: Count) -> None:
        super().__init__()
        self.symbols = nn.Parameter(0.02 * torch.randn(symbols, width))
        self.positions = nn.Parameter(0.02 * torch.randn(context, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors if x holds symbols (integers), logits if x holds vectors (floats)."""
        if x.is_floating_point():
            return layer_norm(x, x.shape[-1:]) @ self.symbols.t()
        return self.symbols[x] + self.positions[: x.shape[1]]


@typed
@final
class Block(nn.Module):
    """One block: causal attention, then a perceptron, each added to its input. (batch, time, width) -> (batch, time,
    width).

    heads: number of attention heads. Raises GrammarError if it does not divide the width.
    """

    def __init__(self, width: Count, heads: Count) -> None:
        super().__init__()
        if width % heads:
            raise GrammarError(
                f"a block has width {width} and {heads} heads; expected a number that divides the width. Change one."
            )
        self.heads = heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.question, self.answer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (batch, time, width). x: (batch, time, width)."""
        x = x + self.answer(self._attend(self.attention_norm(x)))
        return x + self.perceptron(self.perceptron_norm(x))

    def _attend(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        split = self.question(x).view(batch, time, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(query, key, value, is_causal=True)
        return found.transpose(1, 2).reshape(batch, time, width)


def next_symbol_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of the next symbols, in nats per symbol.

    logits: (batch, time, symbols); y: the next symbols, (batch, time).
    """
    return cross_entropy(logits.flatten(0, 1), y.flatten())


@typed
def transformer(
    nature: OracleDeclaration, blocks: Count, width: Count, heads: Count, context: Count, symbols: Count = 256
) -> Grammar:
    """Make the grammar of a transformer language model: each block is a player, and one player has the first and the
    last layer.

    nature: an oracle whose first question answers (x, y). Both are (batch, time), int64, less than `symbols`. x
    contains symbols; y contains, for each symbol of x, the next symbol. blocks: number of blocks. width: width of the
    vectors between the blocks. heads: number of attention heads per block. context: the largest time.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    embedding = q.player("Embedding", TiedEmbedding, symbols, width, context)
    x = embedding(x)
    for index in range(1, blocks + 1):
        x = q.player(f"Block{index}", Block, width, heads)(x)
    objective = minimise(q.loss("Loss", next_symbol_loss)(embedding(x), y))
    return Grammar("transformer", q.graph(), chain_rule(q, objective), objective, exact())
