"""A transformer with a loss after every block, and other responses than the chain rule. Only the topology."""

from dataclasses import replace

import torch

from antiphon import Exact, Grammar, Guarantee, OracleDeclaration, QueryDraft, chain_rule, exact, minimise
from antiphon.grammars import Message, PlayerLoss, Port, Value, promised
from antiphon.grammars.chain_rule import Upstream
from antiphon.grammars.library.transformer import Block, TiedEmbedding, next_symbol_loss


def judged(nature: OracleDeclaration, blocks: int, width: int, heads: int, context: int, symbols: int = 256) -> Grammar:
    """Each block has a loss of its own: Embedding turns its output into logits. R is the chain rule for their sum.

    The arguments are those of the library's `transformer`, and so are the players.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    embedding = q.player("Embedding", TiedEmbedding, symbols, width, context)
    x, losses = embedding(x), list[Value]()
    for index in range(1, blocks + 1):
        x = q.player(f"Block{index}", Block, width, heads)(x)
        losses.append(q.loss(f"Loss{index}", next_symbol_loss)(embedding(x), y))
    objective = minimise(*losses)
    return Grammar("judged", q.graph(), chain_rule(q, objective), objective, exact())


def local(game: Grammar) -> Grammar:
    """The same Q as `judged`. No message goes from block to block, so a block hears of its own loss only.

    The block's gradient is exact for that loss. To Embedding, which all losses teach, nothing is promised.
    """
    response = chain_rule(game.query, game.objective, edit=not_between_blocks)
    return replace(game, name="local", response=response, guarantee=own_losses(game))


def not_between_blocks(upstream: Upstream) -> Message | None:
    """An edit that cuts the messages from a block to the one before."""
    between = upstream.source.owner.startswith("Block") and upstream.target.owner.startswith("Block")
    return None if between else upstream.message


def own_losses(game: Grammar) -> Guarantee:
    """Block i minimises loss i."""
    losses = enumerate(game.objective.losses, 1)
    return promised(*(Exact((f"Block{index}",), PlayerLoss.of(torch.clone, loss)) for index, loss in losses))


def broadcast(game: Grammar) -> Grammar:
    """The same Q as the library's `transformer`. Each block hears the gradient at the last block's output, unchanged.

    A block adds to its input, so its derivative is the identity and a rest, and this response leaves out the rest.
    Exact for the last block only.
    """
    blocks = [player.name for player in game.query.players if player.name.startswith("Block")]

    def edit(upstream: Upstream) -> Message:
        return upstream.arrived[Port(blocks[-1])] if upstream.source.owner in blocks else upstream.message

    response = chain_rule(game.query, game.objective, edit=edit)
    return replace(game, name="broadcast", response=response, guarantee=exact(blocks[-1]))
