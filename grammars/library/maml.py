"""Model-agnostic meta-learning: parameters from which one step of descent on a new task leads far.

Finn et al. 2017, Model-agnostic meta-learning for fast adaptation of deep networks.
"""

from collections.abc import Mapping

from torch import Tensor

from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise, typed
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.second_order import gradient, parameters_of, played_at


@typed
def maml(
    tasks: OracleDeclaration, layers: Mapping[str, Factory], loss: Factory, *, step: Positive = 0.01, count: Count = 2
) -> Grammar:
    """Make the grammar of model-agnostic meta-learning. The layers of a network are the players.

    For each of `count` tasks, all players make one step of descent on the error `Before`, and minimise the error
    `After` of the network with these new parameters. The gradient of `After` passes through the step, so it needs
    second derivatives.
    tasks: an oracle whose first question answers a task: x and y for the step, and x and y for the error after it. It
    is asked `count` times a round. layers: the module of each layer, by name, from the input to the output. loss: a
    function of (output of the network, y). step: the size of the step.
    """
    q = QueryDraft()
    ask, move = q.oracle("Tasks", tasks), q.operator("Step", stepped, step=step)
    before, after = q.loss("Before", loss), q.loss("After", loss)
    players, errors = [q.player(name, factory) for name, factory in layers.items()], []
    for _ in range(count):
        guess, y, later, wanted = ask()
        for player in players:
            guess = player(guess)
        slopes = gradient(q, before(guess, y), *players)
        for player, slope in zip(players, slopes if len(players) > 1 else (slopes,), strict=True):
            later = played_at(player, move(parameters_of(player), slope), later)
        errors.append(after(later, wanted))
    objective = minimise(*errors)
    return Grammar("maml", q.graph(), chain_rule(q, objective), objective, exact())


def stepped(parameters: Tensor, slope: Tensor, step: float) -> Tensor:
    """Return the parameters after one step of descent: parameters - step * slope, one vector."""
    return parameters - step * slope
