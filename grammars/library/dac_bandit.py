"""Grammar 4 on a contextual bandit: Deviator-Actor-Critic without next states (essay, section 2.4).

Balduzzi and Ghifary 2015, Compatible value gradients for reinforcement learning of continuous deep policies.
"""

import torch

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, cut_into, minimise, typed
from antiphon.grammars.library.dac import promises
from antiphon.grammars.losses import gradient_perturbation_error
from antiphon.grammars.maps import over_batch


@typed
def dac_bandit(
    nature: OracleDeclaration, noise: OracleDeclaration, actor: Factory, critic: Factory, deviator: Factory
) -> Grammar:
    """Make the grammar of Deviator-Actor-Critic on a contextual bandit. The players are Actor mu(s), Critic Q(s, a) and
    Deviator G(s, a).

    States do not depend on earlier actions. nature: questions observe() -> s, (batch, ...); reward(a) -> r, (batch,),
    at a = mu(s) + eps. noise: an oracle whose first question answers eps, in the shape of the actions. Unlike `dac`, it
    has no replay and no target: eps is the draw of Noise, and the loss is (r - Q(s, mu(s)) - <G(s, mu(s)), eps>)^2.
    In the Response graph, no gradient of the loss reaches Actor. Actor receives -G / batch, where G is Deviator's
    output at mu(s). Nature is a black box, so no gradient passes through the reward.
    """
    q = QueryDraft()
    world, wind = q.oracle("Nature", nature), q.oracle("Noise", noise)
    mu, value, slope = q.player("Actor", actor), q.player("Critic", critic), q.player("Deviator", deviator)
    state, deviation = world.observe(), wind()
    played = mu(state)
    reward = world.reward(q.operator("perturb", torch.add)(played, deviation))
    g = slope(state, played)
    error = q.loss("GPE", gradient_perturbation_error)
    objective = minimise(error(reward, value(state, played), g, deviation))
    r = chain_rule(
        q,
        objective,
        edit=(cut_into("Actor"), cut_into("Nature")),
        answers={played: lambda r: r.map(over_batch, r.tap(g), factor=-1.0, name="ascend G")},
    )
    return Grammar("dac-bandit", q.graph(), r, objective, promises("GPE", played, g))
