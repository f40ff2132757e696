"""Games whose players have losses of their own: a recurrent player that is unrolled, and a soft actor-critic."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from antiphon.grammars import (
    Grammar,
    Objective,
    QueryDraft,
    ResponseGraph,
    Value,
    chain_rule,
    cut_at,
    exact,
    freeze_at,
    minimise,
)
from antiphon.grammars.random_grammars import mean_gap, samples


class Cell(nn.Module):
    """A recurrent cell, tanh of an affine map: a state, (batch, 3), and an input, (batch, 2), make the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3, dtype=torch.float64)

    def forward(self, state: Tensor, x: Tensor) -> Tensor:
        """Return the next state, (batch, 3)."""
        return torch.tanh(self.layer(torch.cat([state, x], 1)))


def unrolled(steps: int) -> tuple[QueryDraft, list[Value], list[Value]]:
    """Return a draft in which Cell is asked `steps` times, its states (the first is data), and a loss a step."""
    q = QueryDraft()
    first, *data = q.oracle("Nature", samples(4, (3,), *[(2,)] * steps, *[(2,)] * steps))()
    cell, readout = q.player("Cell", Cell), q.player("Readout", nn.Linear, 3, 2, dtype=torch.float64)
    states, losses = [first], list[Value]()
    for x, y in zip(data[:steps], data[steps:], strict=True):
        states.append(cell(states[-1], x))
        losses.append(q.loss(f"Loss{len(states) - 1}", mean_gap)(readout(states[-1]), y))
    return q, states, losses


def truncated(states: list[Value], losses: list[Value], back: int, every: int) -> Objective:
    """Return BPTT(back; every): every `every` steps, the errors of these steps, with the state `back` steps before held
    fixed.
    """
    ends = range(every, len(losses) + 1, every)
    windows = [minimise(*losses[end - every : end], held=[states[max(end - back, 0)]]) for end in ends]
    return sum(windows[1:], windows[0])


class Squashed(nn.Module):
    """Actor: a Gaussian, squashed by tanh. It plays an action, (batch, 2), and its log-density, (batch, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 4, dtype=torch.float64)

    def forward(self, state: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the action of a state, (batch, 3), with noise, (batch, 2), and the log-density of the action."""
        mean, log_scale = self.net(state).chunk(2, 1)
        raw = mean + noise * log_scale.exp()
        squash = logsigmoid(2 * raw) + logsigmoid(-2 * raw)  # log (1 - tanh^2), up to a constant
        return raw.tanh(), (-noise.square() / 2 - log_scale - squash).sum(1, keepdim=True)


class Worth(nn.Module):
    """Critic: the value, (batch, 1), of an action in a state."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 6, dtype=torch.float64), nn.Tanh(), nn.Linear(6, 1, dtype=torch.float64))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the value. state: (batch, 3). action: (batch, 2)."""
        return self.net(torch.cat([state, action], 1))


ALPHA, GAMMA = 0.2, 0.9


def target(reward: Tensor, log_density: Tensor, *worths: Tensor) -> Tensor:
    """Return what both critics are to predict, (batch, 1)."""
    return reward + GAMMA * (torch.minimum(*worths) - ALPHA * log_density)


def two_errors(one: Tensor, two: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error of both critics, 0-d."""
    return ((one - wanted).square() + (two - wanted).square()).mean()


def regret(log_density: Tensor, one: Tensor, two: Tensor) -> Tensor:
    """Return Actor's loss, 0-d: it falls with the smaller of two values, and with the entropy."""
    return (ALPHA * log_density - torch.minimum(one, two)).mean()


def soft_actor_critic(respond: Callable[..., ResponseGraph] | None = None) -> Grammar:
    """Make the grammar of a soft actor-critic at fixed data (Haarnoja and others, 2018): three players, two losses.

    respond: makes the Response graph from (draft, objective, named values); None derives it from the objective.
    """
    q = QueryDraft()
    state, action, reward, after = q.oracle("Replay", samples(5, (3,), (2,), (1,), (3,)))()
    now, then = q.oracle("Noise", samples(5, (2,), (2,)))()
    actor = q.player("Actor", Squashed)
    critics = [q.player(name, Worth) for name in ("One", "Two")]
    copies = [q.clone(f"{critic.name}~", critic, soft=0.1) for critic in critics]
    next_action, next_density = actor(after, then)
    wanted = q.operator("target", target)(reward, next_density, *(copy(after, next_action) for copy in copies))
    errors = q.loss("Errors", two_errors)(*(critic(state, action) for critic in critics), wanted)
    chosen, density = actor(state, now)
    worths = [critic(state, chosen) for critic in critics]
    regrets = q.loss("Regret", regret)(density, *worths)
    objective = minimise(errors, players=["One", "Two"]) + minimise(regrets, players=["Actor"])
    response = chain_rule(q, objective) if respond is None else respond(q, objective, wanted, worths)
    return Grammar("soft-actor-critic", q.graph(), response, objective, exact())


def by_edits(q: QueryDraft, objective: Objective, wanted: Value, worths: list[Value]) -> ResponseGraph:
    """Write the same Response graph as edits of the chain rule of both losses together."""
    return chain_rule(q, objective.common, edit=cut_at(wanted), delivery=[freeze_at(each) for each in worths])
