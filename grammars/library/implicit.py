"""Implicit temporal differences (essay, Remark 2): Critic receives the semi-gradient at the parameters after the step.

With this gradient, no learning rate is too large.
"""

from torch import nn

from antiphon.errors import GrammarError
from antiphon.grammars import (
    Exact,
    Factory,
    Grammar,
    Message,
    OracleDeclaration,
    PlayerLoss,
    QueryDraft,
    Upstream,
    Value,
    chain_rule,
    minimise,
    promised,
    typed,
)
from antiphon.grammars.bellman import bellman_error, envelope, implicit, mean_square
from antiphon.grammars.chain_rule import Edit, cut_at
from antiphon.grammars.library.experience import experience
from antiphon.grammars.numbers import Positive


@typed
def implicit_temporal_difference(
    nature: OracleDeclaration, critic: Factory, *, step: Positive, gamma: float = 0.99
) -> Grammar:
    """Make the grammar of implicit temporal differences: the semi-gradient of TD(0), taken at the parameters after the
    step.

    The message about V(s) is the solution of an equation (`antiphon.grammars.bellman.implicit`). critic:
    `torch.nn.Linear` from the features s to one value, because then the solution has a closed form. step: the learning
    rate of Critic's agent, which must be plain SGD; a grammar cannot read it from the agent. With another optimizer or
    rate, the response is only a scaled semi-gradient. Raises GrammarError for another critic.
    """
    if critic.target is not nn.Linear:
        raise GrammarError(
            f"implicit_temporal_difference was given critic {critic!r}; expected torch.nn.Linear, whose implicit step "
            "has a closed form. Put the network into Nature's features, or take another method."
        )
    q = QueryDraft()
    seen = experience(q, nature)
    value = q.player("Critic", critic)
    now, after = value(*seen.now), value(*seen.after)
    error = q.operator("error", bellman_error, gamma=gamma)(seen.reward, seen.terminated, after, now)
    objective = minimise(q.loss("BE", mean_square)(error, *seen.weight))
    graph = q.graph()
    bias = any(parameter.name == "bias" for parameter in graph.player_by_name["Critic"].parameters)
    known = {"step": step, "bias": bias}
    r = chain_rule(graph, objective, edit=[cut_at(after), _solved_at(now, *seen.now, *seen.weight, **known)])
    loss = PlayerLoss.of(envelope, error, seen.terminated, after, *seen.now, *seen.weight, gamma=gamma, **known)
    sense = f"the semi-gradient at the parameters to which SGD(lr={step:g}) goes by it"
    guarantee = promised(Exact(("Critic",), loss, sense=sense))
    return Grammar("implicit-temporal-difference", graph, r, objective, guarantee)


def _solved_at(now: Value, *taps: Value, step: float, bias: bool) -> Edit:
    """Return an edit that multiplies every message about V(s) (`now`) by the inverse of 1 + 2 step / batch W K.

    W are the weights of the transitions, K the inner products of the features.
    """

    def edit(upstream: Upstream) -> Message:
        if upstream.value != now.port:
            return upstream.message
        r = upstream.response
        features = map(r.tap, taps)
        return r.map(implicit, upstream.message, *features, name="solved for Critic", step=step, bias=bias)

    return edit
