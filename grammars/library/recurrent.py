"""A recurrent language model: long short-term memory cells (Hochreiter and Schmidhuber, 1997), scanned over a text.

The state after the last step of a round is the state at the first step of the next round. R is backpropagation through
time, of all steps of the round, or truncated (Williams and Peng, 1990).
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from antiphon.errors import GrammarError
from antiphon.grammars.chain_rule import chain_rule, truncated
from antiphon.grammars.draft import QueryDraft, Value
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Estimated, Exact, Guarantee, PlayerLoss, exact, promised
from antiphon.grammars.inference import make_operator
from antiphon.grammars.library.transformer import next_symbol_loss
from antiphon.grammars.numbers import Count
from antiphon.grammars.objective import minimise
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.scan import scan
from antiphon.grammars.truncation import Truncation
from antiphon.grammars.typed import typed


@typed
def recurrent(
    nature: OracleDeclaration,
    memory: OracleDeclaration,
    width: Count,
    symbols: Count = 256,
    layers: Count = 1,
    truncation: Truncation | None = None,
) -> Grammar:
    """Make the grammar of a recurrent language model: each layer of cells is a player, scanned over the steps.

    nature: an oracle whose first question answers (x, y, begins). x and y are (batch, steps), int64, less than
    `symbols`; y contains, for each symbol of x, the next symbol. begins: (batch,), bool; where it is true, the example
    starts with a state of zeros, else with the state of the round before. memory: keeps two tensors of (width,) for
    each layer, as `antiphon.oracles.memory` makes it. truncation: through how many steps errors flow back; None for all
    steps of a round. Raises GrammarError for oracles with other questions.
    """
    _refuse_misfits("Nature", nature.questions[0], 3, "x, y and begins")
    _refuse_misfits("Memory", memory.question("recall"), 2 * layers, "two tensors for each layer of cells, to recall")
    _refuse_misfits("Memory", memory.question("keep"), 1, "a question `keep` with one answer")
    q = QueryDraft()
    x, y, begins = q.oracle("Nature", nature)()
    kept = q.oracle("Memory", memory)
    states = q.operator("restart", restarted)(begins, *kept.recall())
    vectors = q.player("Embedding", nn.Embedding, symbols, width)(x)
    names = [f"Cell{index}" for index in range(1, layers + 1)]
    top, after = vectors, list[Value]()
    for index, name in enumerate(names):
        cell = q.player(name, scan(nn.LSTMCell, width, width, carried=2))
        top, *state = cell(top, *states[2 * index : 2 * index + 2])
        after += state
    kept.keep(*after)
    objective = minimise(q.loss("Loss", next_symbol_loss)(q.player("Readout", nn.Linear, width, symbols)(top), y))
    edits = [truncated(each, through=truncation.through, every=truncation.every) for each in names if truncation]
    guarantee = truncated_promises(
        names, truncation, vectors, (y, *states), Factory(next_symbol_loss), further=("Embedding",)
    )
    return Grammar("recurrent", q.graph(), chain_rule(q, objective, edit=edits), objective, guarantee)


def restarted(begins: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
    """Return the states, (batch, width) each, with zeros where `begins`, (batch,), is true."""
    return tuple(torch.where(begins[:, None], 0, each) for each in states)


def loss_of_windows(*given: Any, truncation: Truncation, loss: Factory) -> Tensor:  # Any: modules, then tensors
    """Return the loss whose gradient truncated backpropagation through time is, 0-d.

    Its value is that of the objective. Each window of the truncation starts from a state that is held fixed. given: the
    modules of the cells and of the readout; then the inputs of the lowest cell, (batch, steps, width), the targets,
    and two tensors of state for each cell, or none. loss: a function of the readout's output and the targets.
    """
    *cells, readout = cast(
        list[Any], [each for each in given if isinstance(each, nn.Module)]
    )  # Any: scans, and a layer
    top, y, *states = given[len(cells) + 1 :]
    for index, cell in enumerate(cells):
        top, *_ = cell.held(truncation, top, *states[2 * index : 2 * index + 2])
    return make_operator(loss)(readout(top), y)


def _refuse_misfits(oracle: str, question: Question | None, count: int, expected: str) -> None:
    found = "no such question" if question is None else f"{len(question.outputs)} values"
    if question is None or len(question.outputs) != count:
        raise GrammarError(
            f"oracle {oracle!r} of a recurrent network answers with {found}; expected {count}: {expected}. Declare it "
            "as `text_streams` and `memory` do."
        )


def truncated_promises(
    cells: Sequence[str],
    truncation: Truncation | None,
    inputs: Value,
    given: Sequence[Value],
    loss: Factory,
    further: tuple[str, ...] = (),
) -> Guarantee:
    """Return what R promises: exact gradients, or, below the player Readout, those of the loss with held states.

    cells: the players that are scanned, the lowest first. truncation: None for all steps. inputs: of the lowest cell.
    given: the targets, and the states. loss: a function of the readout's output and the targets. further: players below
    the cells.
    """
    steps = inputs.type.shape[1]
    if truncation is None or (isinstance(steps, int) and truncation.is_exact(steps)):
        return exact()
    players = (*cells, "Readout")
    own = PlayerLoss.of(loss_of_windows, inputs, *given, players=players, truncation=truncation, loss=loss)
    below = (*further, *cells)
    return promised(
        Exact(("Readout",)),
        Exact(below, own, sense="the gradient of the loss, with the state at the start of each window held fixed"),
        Estimated(below, bias=math.inf, draws=2, sense="the gradient of the objective, without errors of the far past"),
    )
