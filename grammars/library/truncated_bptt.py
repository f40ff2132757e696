"""Truncated backpropagation through time: a recurrent network whose errors flow back through some steps only.

Williams and Peng 1990, An efficient gradient-based algorithm for on-line training of recurrent network trajectories.
"""

from torch import Tensor
from torch.nn.functional import cross_entropy

from antiphon.grammars.chain_rule import chain_rule, truncated
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library.recurrent import truncated_promises
from antiphon.grammars.numbers import Count
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.scan import scan
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed


def each_step_loss(output: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of the class y of a sequence at each of its steps, a mean over batch and steps, 0-d.

    output: (batch, steps, classes). y: (batch,).
    """
    return cross_entropy(output.flatten(0, 1), y.repeat_interleave(output.shape[1]))


@typed
def truncated_bptt(
    nature: OracleDeclaration,
    cell: Factory,
    readout: Factory,
    loss: Factory = Factory(each_step_loss),
    *,
    through: Count,
    every: Count,
    carried: Count = 1,
) -> Grammar:
    """Make the grammar of BPTT(h; h') in a recurrent network with the players Cell and Readout.

    Every h' = `every` steps, the errors of the last h' steps flow back through the last h = `through` steps; if h is
    larger, the windows overlap. Readout receives its gradient. Cell receives the gradient of the loss with the state at
    the start of each window held fixed; the gradient of the loss, if h is the number of steps.
    nature: an oracle whose first question answers (x, y); x is (batch, steps, ...). cell: makes a cell, which begins
    each sequence without a state (see `scan`). readout: makes a module of the cell's outputs, (batch, steps, ...).
    loss: a function of the readout's output and y. carried: number of tensors of the cell's state. Raises GrammarError
    if `through` is smaller than `every`.
    """
    q = QueryDraft()
    x, y = q.oracle("Nature", nature)()
    top, *_ = q.player("Cell", scan(cell, carried=carried))(x)
    objective = minimise(q.loss("Loss", loss)(q.player("Readout", readout)(top), y))
    r = chain_rule(q, objective, edit=truncated("Cell", through=through, every=every))
    guarantee = truncated_promises(["Cell"], Truncation(through, every), x, [y], loss)
    return Grammar("truncated-bptt", q.graph(), r, objective, guarantee)
