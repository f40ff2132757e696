"""Projected fixpoint methods (essay, Remark 2): temporal differences with a second player, Corrector.

The gradient of the projected Bellman error contains a product of two expectations, so an estimate from one sample is
biased. Corrector learns one of the two expectations: h(s), the expected error at s, as far as Corrector's features can
represent it. Source: Sutton et al. 2009, Fast gradient-descent methods for temporal-difference learning with linear
function approximation.
"""

from dataclasses import dataclass

from antiphon.grammars import (
    Exact,
    Factory,
    Grammar,
    Learned,
    Message,
    Objective,
    OracleDeclaration,
    PlayerLoss,
    Promise,
    QueryDraft,
    Upstream,
    Value,
    chain_rule,
    minimise,
    negate_into,
    promised,
    typed,
)
from antiphon.grammars.bellman import bellman_error, corrected_square, correction, minus_error, saddle
from antiphon.grammars.chain_rule import Edit
from antiphon.grammars.library.experience import Experience, experience


@typed
def gtd2(
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
) -> Grammar:
    """Make the grammar of GTD2, a method of temporal differences. Critic minimises error * h - h^2 / 2, Corrector
    maximises it.

    The error is the Bellman error of a transition; h(s) is Corrector's output, an estimate of the expected error. The
    Response graph is the chain rule with one change of sign. corrector: makes h, a module of Critic's inputs that plays
    (batch, 1); for a linear Critic, linear in the same features. The other arguments are those of
    `temporal_difference`. Corrector should learn faster than Critic.
    """
    q = QueryDraft()
    game = _game(q, nature, critic, corrector, actor, gamma)
    r = chain_rule(q, game.objective, edit=negate_into("Corrector"))
    descends = Exact(("Critic",), sense="the gradient of the objective, which is learned: it depends on h")
    return Grammar("gtd2", q.graph(), r, game.objective, promised(descends, *_corrects(game)))


@typed
def tdc(
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
) -> Grammar:
    """Make the grammar of TDC, temporal differences with gradient correction. Its players are Critic V(s) and Corrector
    h(s).

    It is `gtd2` with one change in the Response graph: the message about V(s) is minus the error instead of minus h.
    The result is the semi-gradient of TD(0), corrected by the message gamma h about V(s'), the value of the next state.
    """
    q = QueryDraft()
    game = _game(q, nature, critic, corrector, actor, gamma)
    seen, now = game.seen, game.now
    edits = [negate_into("Corrector"), _tell_into(now, game.error, *seen.weight)]
    r = chain_rule(q, game.objective, edit=edits)
    loss = PlayerLoss.of(corrected_square, game.error, seen.terminated, game.after, game.h, *seen.weight, gamma=gamma)
    corrected = Exact(("Critic",), loss, sense="the semi-gradient, corrected by h at the target")
    return Grammar("tdc", q.graph(), r, game.objective, promised(corrected, *_corrects(game)))


@dataclass(frozen=True)
class _Game:
    """What the grammars GTD2 and TDC share: the objective, and values that nodes of the Query graph return."""

    seen: Experience
    now: Value
    after: Value
    error: Value
    h: Value
    objective: Objective


def _game(
    q: QueryDraft,
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None,
    gamma: float,
) -> _Game:
    seen = experience(q, nature, actor)
    value, correct = q.player("Critic", critic), q.player("Corrector", corrector)
    now, after = value(*seen.now), value(*seen.after)
    error = q.operator("error", bellman_error, gamma=gamma)(seen.reward, seen.terminated, after, now)
    h = correct(*seen.now)
    return _Game(seen, now, after, error, h, minimise(q.loss("Saddle", saddle)(error, h, *seen.weight)))


def _corrects(game: _Game) -> tuple[Promise, Promise]:
    """Return the two promises to the player Corrector: one about its gradient, one about what it learns."""
    loss = PlayerLoss.of(correction, game.error, game.h, *game.seen.weight)
    regression = Exact(("Corrector",), loss, sense="the gradient of half the mean square of error - h")
    return regression, Learned(("Corrector",), sense="h is the error expected at s, as far as its features can tell")


def _tell_into(now: Value, *error: Value) -> Edit:
    """Return an edit that replaces every message about the value `now`, which is V(s).

    The new message is minus each example's contribution to the mean Bellman error.
    """

    def edit(upstream: Upstream) -> Message:
        if upstream.value != now.port:
            return upstream.message
        r = upstream.response
        return r.map(minus_error, *map(r.tap, error), name="minus the error, into Critic")

    return edit
