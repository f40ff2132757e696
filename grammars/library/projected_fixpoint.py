"""Projected fixpoint methods (essay, Remark 2): a second player makes temporal differences a game with a gradient.

The projected Bellman error has two expectations multiplied in its gradient, so one sample of it is biased. Corrector
learns one of them: h(s), the error expected at s as far as its features can tell. Source: Sutton et al. 2009, Fast
gradient-descent methods for temporal-difference learning with linear function approximation.
"""

from antiphon.grammars.bellman import bellman_error, minus_error, saddle
from antiphon.grammars.chain_rule import Edit, Upstream, chain_rule, negate_into
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category, Guarantee, Promise
from antiphon.grammars.library.experience import experience
from antiphon.grammars.objective import Objective, minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.writing import Message

_LEARNED = Promise(Category.LEARNED, "h approaches the projection of the expected Bellman error", ("Corrector",))
_DESCENT = Promise(Category.LEARNED, "the gradient of half the projected Bellman error, by way of h", ("Critic",))
_CORRECTED = Promise(Category.ESTIMATED, "that gradient in expectation, with the sampled error for h", ("Critic",))
GTD2 = Guarantee((_LEARNED, _DESCENT))
TDC = Guarantee((_LEARNED, _CORRECTED))


def gtd2(
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
) -> Grammar:
    """Critic descends error * h - h^2 / 2, Corrector climbs it. R: the chain rule, and one minus sign.

    corrector: makes h, a module of Critic's inputs that plays (batch, 1); for a linear Critic, linear in the same
    features. The rest as in `temporal_difference`. Corrector is to move on the faster time scale.
    """
    q = QueryDraft()
    objective, _, _ = _game(q, nature, critic, corrector, actor, gamma)
    r = chain_rule(q, objective, edit=negate_into("Corrector"))
    return Grammar("gtd2", q.graph(), r, objective, GTD2)


def tdc(
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
) -> Grammar:
    """`gtd2` with one more edit of R: at V(s) Critic is told the error itself, a tap, in place of h.

    That is the semi-gradient, and what still flows through the target, gamma h, corrects it.
    """
    q = QueryDraft()
    objective, now, error = _game(q, nature, critic, corrector, actor, gamma)
    r = chain_rule(q, objective, edit=[negate_into("Corrector"), _tell_into(now, *error)])
    return Grammar("tdc", q.graph(), r, objective, TDC)


def _game(
    q: QueryDraft,
    nature: OracleDeclaration,
    critic: Factory,
    corrector: Factory,
    actor: OracleDeclaration | None,
    gamma: float,
) -> tuple[Objective, Value, tuple[Value, ...]]:
    """The Q of both: the objective, V(s), and the error with its weight, if any."""
    seen = experience(q, nature, actor)
    value, h = q.player("Critic", critic), q.player("Corrector", corrector)
    now, after = value(*seen.now), value(*seen.after)
    error = q.operator("error", bellman_error, gamma=gamma)(seen.reward, seen.terminated, after, now)
    return minimise(q.loss("Saddle", saddle)(error, h(*seen.now), *seen.weight)), now, (error, *seen.weight)


def _tell_into(now: Value, *error: Value) -> Edit:
    """Every message into `now` becomes minus the error, per example."""

    def edit(upstream: Upstream) -> Message:
        if upstream.value != now.port:
            return upstream.message
        r = upstream.response
        return r.map(minus_error, *map(r.tap, error), name="minus the error, into Critic")

    return edit
