"""Representation 3, temporal difference learning, and of Remark 2's kin those of one player: their Rs differ.

`temporal_difference` learns against a clone, which makes it gradient descent. Without a clone Critic is asked at both
ends of a transition; what R says of the far end is then the whole difference between semi and residual gradient.
"""

from antiphon.grammars.bellman import bellman_error, mean_product, mean_square
from antiphon.grammars.cadence import Cadence
from antiphon.grammars.chain_rule import chain_rule, cut_at
from antiphon.grammars.draft import PlayerHandle, QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Category, Guarantee, Promise
from antiphon.grammars.library.experience import Experience, experience, experience_twice
from antiphon.grammars.objective import Objective, minimise
from antiphon.grammars.oracle import OracleDeclaration

CLONED = Guarantee((Promise(Category.EXACT, "the gradient of the Bellman error against the cloned target"),))
SEMI = Guarantee(
    (Promise(Category.ESTIMATED, "the gradient with the target held; it rests at the projected fixpoint"),)
)
RESIDUAL = Guarantee((Promise(Category.EXACT, "the gradient of the mean squared error of single transitions"),))
DOUBLE = Guarantee((Promise(Category.EXACT, "an unbiased gradient of the mean squared Bellman residual"),))


def temporal_difference(
    nature: OracleDeclaration,
    critic: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
    clone_every: int = 1,
    soft: float | None = None,
) -> Grammar:
    """Critic against its own clone: (r + gamma (1 - terminated) V~(s') - V(s))^2, or Q~(s', mu(s')) and Q(s, a).

    nature, actor: black boxes, see `experience`. critic: makes a module of s, or of s and a, that plays (batch, 1).
    The clone follows every `clone_every` rounds, softly or entirely. Cloned every round, entirely, it is TD(0).
    R: the chain rule. Nothing flows into the target, for a clone passes nothing.
    """
    q = QueryDraft()
    seen = experience(q, nature, actor)
    value = q.player("Critic", critic)
    target = q.clone("Critic~", value, soft=soft, cadence=Cadence(clone_every))
    now = value(*seen.now)
    objective = minimise(_loss(q, seen, target(*seen.after), now, gamma))
    return Grammar("temporal-difference", q.graph(), chain_rule(q, objective), objective, CLONED)


def semi_gradient(
    nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None = None, *, gamma: float = 0.99
) -> Grammar:
    """TD(0) as it is commonly written: Critic is its own target. R: the message into the target is cut.

    It is no gradient of anything (essay, Remark 2), and may diverge off policy (Baird 1995).
    """
    q = QueryDraft()
    objective, after = _own_target(q, nature, critic, actor, gamma)
    r = chain_rule(q, objective, edit=cut_at(after))
    return Grammar("semi-gradient", q.graph(), r, objective, SEMI)


def residual_gradient(
    nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None = None, *, gamma: float = 0.99
) -> Grammar:
    """Gradient descent on the Bellman error. R: the chain rule, through the target too.

    Where next states are chance, the mean of squares has the target's variance in it, and its minimum is biased: there
    `double_residual_gradient` samples twice.
    """
    q = QueryDraft()
    objective, _ = _own_target(q, nature, critic, actor, gamma)
    return Grammar("residual-gradient", q.graph(), chain_rule(q, objective), objective, RESIDUAL)


def double_residual_gradient(nature: OracleDeclaration, critic: Factory, *, gamma: float = 0.99) -> Grammar:
    """Gradient descent on the mean squared Bellman residual E[(E[error | s])^2], by two next states of each state.

    Another Q than its kin's: Nature is asked for a pair, and the loss is the product of the two errors. R: the chain
    rule. nature: see `experience_twice`.
    """
    q = QueryDraft()
    one, two = experience_twice(q, nature)
    value = q.player("Critic", critic)
    now = value(*one.now)
    error = q.operator("error", bellman_error, gamma=gamma)(one.reward, one.terminated, value(*one.after), now)
    other = q.operator("other error", bellman_error, gamma=gamma)(two.reward, two.terminated, value(*two.after), now)
    objective = minimise(q.loss("BE", mean_product)(error, other, *one.weight))
    return Grammar("double-residual-gradient", q.graph(), chain_rule(q, objective), objective, DOUBLE)


def _own_target(
    q: QueryDraft, nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None, gamma: float
) -> tuple[Objective, Value]:
    """The Q of semi and residual gradient: the objective, and what Critic plays into the target."""
    seen = experience(q, nature, actor)
    value: PlayerHandle = q.player("Critic", critic)
    now, after = value(*seen.now), value(*seen.after)
    return minimise(_loss(q, seen, after, now, gamma)), after


def _loss(q: QueryDraft, seen: Experience, after: Value, now: Value, gamma: float) -> Value:
    error = q.operator("error", bellman_error, gamma=gamma)(seen.reward, seen.terminated, after, now)
    return q.loss("BE", mean_square)(error, *seen.weight)
