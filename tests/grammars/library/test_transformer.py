"""A language model as a game: what it computes, what it may see, and that it learns."""

import torch
from torch import nn

from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays
from antiphon.errors import GrammarError
from antiphon.grammars.library.transformer import Block, TiedEmbedding, transformer


def test_a_block_is_torchs_own_encoder_layer_with_a_causal_mask() -> None:
    """The same weights in `nn.TransformerEncoderLayer` (pre-norm, GELU) give the same values."""
    torch.manual_seed(0)
    block = Block(8, 2).double()
    layer = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64)
    parts = {
        "self_attn.in_proj_": block.question,
        "self_attn.out_proj.": block.answer,
        "linear1.": block.perceptron[0],
        "linear2.": block.perceptron[2],
        "norm1.": block.attention_norm,
        "norm2.": block.perceptron_norm,
    }
    layer.load_state_dict(
        {f"{name}{key}": value for name, part in parts.items() for key, value in part.named_parameters()}
    )
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    assert torch.allclose(block(x), layer(x, src_mask=mask, is_causal=True), atol=1e-12)


def test_nothing_is_seen_of_what_follows() -> None:
    """A change of the last symbol changes the last logits only."""
    torch.manual_seed(0)
    embedding, block = TiedEmbedding(5, 8, 6), Block(8, 2)
    x = torch.randint(5, (1, 6))
    other = x.clone()
    other[0, -1] = (x[0, -1] + 1) % 5
    one, two = (embedding(block(embedding(each))) for each in (x, other))
    assert torch.equal(one[:, :-1], two[:, :-1]) and not torch.equal(one[:, -1], two[:, -1])


def test_heads_that_do_not_divide_the_width_are_refused(refusal) -> None:
    said = refusal(GrammarError, lambda: Block(8, 3))
    assert all(part in said for part in ("width 8", "3 heads", "divide"))


def test_it_learns_a_text_that_repeats_itself() -> None:
    """Of eight symbols in a fixed order each follows from the one before: far less than ln 8 = 2.08 nats remain."""
    windows = (torch.arange(9)[None, :] + torch.arange(64)[:, None]) % 8
    game = transformer(arrays(windows[:, :-1], windows[:, 1:], batch=16), 1, 16, 2, 8, 8)
    with InlineExecutor(assign(game, AgentSpecification.of("Adam", {"lr": 0.01}), seed=0)) as play:
        losses = play.play(150).losses["Loss"].values
    assert losses[0] > 2.0 and losses[-1] < 0.1
