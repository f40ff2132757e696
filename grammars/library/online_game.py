"""A player against an adversary: in each round Nature sees the play, and answers with a linear loss."""

import torch

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, cut_into, minimise, typed
from antiphon.grammars.guarantee import Exact, Insulated, PlayerLoss, promised


@typed
def online_game(nature: OracleDeclaration, player: Factory) -> Grammar:
    """Make the grammar of online learning. Player plays x, Nature answers a slope g, and the loss is <x, g>.

    nature: an oracle whose first question takes x, (dimension,), and answers g, of the same type. Nature may choose g
    after it saw x. player: a module without inputs that returns x, such as `MixedStrategy` or `Point`. Player receives
    g, and no derivative of Nature's choice.
    """
    q = QueryDraft()
    play = q.player("Player", player)()
    slope = q.oracle("Nature", nature)(play)
    loss = q.loss("Loss", torch.dot)(play, slope)
    objective = minimise(loss)
    r = chain_rule(q, objective, edit=cut_into("Nature"))
    told = Exact(
        ("Player",), PlayerLoss.of(torch.dot, play, slope), sense="the response is the slope that Nature chose"
    )
    return Grammar(
        "online-game", q.graph(), r, objective, promised(told, Insulated(("Player",), ("Nature",), taps=True))
    )
