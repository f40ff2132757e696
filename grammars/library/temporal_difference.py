"""Representation 3, temporal difference learning, and the one-player methods of Remark 2, which differ in the Response
graph.

In `temporal_difference`, a clone of Critic computes the target, so it is gradient descent. In the other methods, Critic
is asked at both s and s'. Semi-gradient and residual gradient differ only in the message about the value at s'.
"""

from antiphon.grammars import (
    Cadence,
    Factory,
    Grammar,
    OracleDeclaration,
    QueryDraft,
    Value,
    chain_rule,
    minimise,
    typed,
)
from antiphon.grammars.bellman import bellman_error, held_square, mean_product, mean_square
from antiphon.grammars.chain_rule import cut_at
from antiphon.grammars.guarantee import Exact, Insulated, PlayerLoss, promised
from antiphon.grammars.library.experience import Experience, experience, experience_twice


@typed
def temporal_difference(
    nature: OracleDeclaration,
    critic: Factory,
    actor: OracleDeclaration | None = None,
    *,
    gamma: float = 0.99,
    clone_every: int = 1,
    soft: float | None = None,
) -> Grammar:
    """Make the grammar of temporal differences with a target network. Critic minimises (r + gamma (1 - terminated)
    V~(s') - V(s))^2, where its clone V~ computes the target.

    With an actor, the values are Q~(s', mu(s')) and Q(s, a). nature, actor: black-box oracles that play transitions and
    actions (see `experience`). critic: makes a module of s, or of s and a, that plays (batch, 1). The clone follows
    every `clone_every` rounds, softly or entirely; with the defaults (every round, entirely) the method is TD(0).
    The Response graph is the chain rule. No gradient flows into the target, because a clone passes no gradient.
    """
    q = QueryDraft()
    seen = experience(q, nature, actor)
    value = q.player("Critic", critic)
    target = q.clone("Critic~", value, soft=soft, cadence=Cadence(clone_every))
    now = value(*seen.now)
    objective = minimise(_loss(q, seen, _error(q, seen, target(*seen.after), now, gamma)))
    exact = Exact(sense="the gradient of the Bellman error against the clone's target")
    guarantee = promised(exact, Insulated(("Critic",), ("Critic~",)))
    return Grammar("temporal-difference", q.graph(), chain_rule(q, objective), objective, guarantee)


@typed
def semi_gradient(
    nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None = None, *, gamma: float = 0.99
) -> Grammar:
    """Make the grammar of TD(0) as it is commonly written: Critic computes its own target, and no gradient flows into
    the target.

    The resulting update is the gradient of no function (essay, Remark 2), and may diverge off policy (Baird 1995).
    """
    q = QueryDraft()
    seen, now, after = _both_ends(q, nature, critic, actor)
    error = _error(q, seen, after, now, gamma)
    objective = minimise(_loss(q, seen, error))
    r = chain_rule(q, objective, edit=cut_at(after))
    held = PlayerLoss.of(held_square, error, seen.terminated, after, *seen.weight, gamma=gamma)
    guarantee = promised(Exact(("Critic",), held, sense="the gradient of the Bellman error with its target held"))
    return Grammar("semi-gradient", q.graph(), r, objective, guarantee)


@typed
def residual_gradient(
    nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None = None, *, gamma: float = 0.99
) -> Grammar:
    """Make the grammar of gradient descent on the squared Bellman error: the chain rule, also through the target.

    If next states are random, the mean of squares includes the variance of the target, so its minimum is biased.
    `double_residual_gradient` avoids this bias with two samples of the next state.
    """
    q = QueryDraft()
    seen, now, after = _both_ends(q, nature, critic, actor)
    objective = minimise(_loss(q, seen, _error(q, seen, after, now, gamma)))
    guarantee = promised(Exact(sense="the gradient of the mean squared error of single transitions"))
    return Grammar("residual-gradient", q.graph(), chain_rule(q, objective), objective, guarantee)


@typed
def double_residual_gradient(nature: OracleDeclaration, critic: Factory, *, gamma: float = 0.99) -> Grammar:
    """Make the grammar of gradient descent on the mean squared Bellman residual E[(E[error | s])^2], with two next
    states of each state.

    Nature is asked for two independent transitions from each state, and the loss is the product of their Bellman
    errors. The Response graph is the chain rule. nature: an oracle with the question pair() (see `experience_twice`).
    """
    q = QueryDraft()
    one, two = experience_twice(q, nature)
    value = q.player("Critic", critic)
    now = value(*one.now)
    error = _error(q, one, value(*one.after), now, gamma)
    other = _error(q, two, value(*two.after), now, gamma, "other error")
    objective = minimise(q.loss("BE", mean_product)(error, other, *one.weight))
    guarantee = promised(Exact(sense="an unbiased gradient of the mean squared Bellman residual"))
    return Grammar("double-residual-gradient", q.graph(), chain_rule(q, objective), objective, guarantee)


def _both_ends(
    q: QueryDraft, nature: OracleDeclaration, critic: Factory, actor: OracleDeclaration | None
) -> tuple[Experience, Value, Value]:
    """Ask Nature for transitions.

    Return the transitions, Critic's value at the state s, and its value at the next state s'.
    """
    seen = experience(q, nature, actor)
    value = q.player("Critic", critic)
    return seen, value(*seen.now), value(*seen.after)


def _error(q: QueryDraft, seen: Experience, after: Value, now: Value, gamma: float, name: str = "error") -> Value:
    return q.operator(name, bellman_error, gamma=gamma)(seen.reward, seen.terminated, after, now)


def _loss(q: QueryDraft, seen: Experience, error: Value) -> Value:
    return q.loss("BE", mean_square)(error, *seen.weight)
