"""Games whose players play points, with a loss for each player (essay, Definition 5)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from antiphon.errors import GrammarError
from antiphon.grammars import Factory, Grammar, Message, OracleDeclaration, QueryDraft, Upstream, chain_rule, minimise
from antiphon.grammars.chain_rule import Edit
from antiphon.grammars.guarantee import Exact, PlayerLoss, promised
from antiphon.grammars.typed import typed


@typed
def game(
    name: str,
    players: Mapping[str, Factory],
    losses: Mapping[str, Callable[..., Tensor] | Factory],
    referee: OracleDeclaration | None = None,
) -> Grammar:
    """Make the grammar of a game. Each player receives the gradient of its own loss, with respect to its own play.

    players: a module without inputs for each player, such as `Point` or `MixedStrategy`. losses: a function for each
    player, from the plays of all players (in the order of `players`) to the loss of this player, 0-d. referee: an
    oracle that sees all plays and reports, for example, the distance to an equilibrium.
    """
    refuse_other_names(players, losses)
    q = QueryDraft()
    plays = [q.player(each, factory)() for each, factory in players.items()]
    own: dict[str, Any] = {each: q.loss(f"Loss of {each}", losses[each])(*plays) for each in players}
    if referee is not None:
        q.oracle("Referee", referee)(*plays)
    objective = minimise(*own.values())
    r = chain_rule(q, objective, edit=only_of_own({f"Loss of {each}": each for each in players}))
    promises = (Exact((each,), PlayerLoss.of(torch.positive, loss)) for each, loss in own.items())
    return Grammar(name, q.graph(), r, objective, promised(*promises))


@typed
def only_of_own(players: Mapping[str, str]) -> Edit:
    """Return an edit that cuts every message of a loss about the play of a player that the loss does not belong to.

    players: the player that each loss belongs to, by the name of the loss.
    """

    def edit(upstream: Upstream) -> Message | None:
        owner = players.get(upstream.source.owner)
        return upstream.message if owner in (None, upstream.target.owner) else None

    return edit


def refuse_other_names(players: Mapping[str, object], losses: Mapping[str, object]) -> None:
    """Raise GrammarError unless there is one loss for each player, under the player's name."""
    if players.keys() != losses.keys():
        raise GrammarError(
            f"a game was given losses of {sorted(losses)} for the players {sorted(players)}; expected one loss for "
            "each player. Use the same names."
        )
