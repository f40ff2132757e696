"""Test truncated backpropagation through time on random cells, steps and windows, and against unrolled networks."""

import random

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from antiphon.checks.measured import Measured, worst
from antiphon.checks.recorded import record
from antiphon.checks.suite import Case, Study, Suite
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar, OracleDeclaration, QueryDraft, chain_rule, exact, minimise
from antiphon.grammars.library.truncated_bptt import truncated_bptt
from antiphon.grammars.precision import in_float64
from antiphon.grammars.promotion import in_double
from antiphon.grammars.truncation import Truncation

BATCH, FEATURES, WIDTH, CLASSES = 4, 3, 4, 3
CELLS = (nn.RNNCell, 1), (nn.GRUCell, 1), (nn.LSTMCell, 2)


def windows(seed: int) -> Grammar:
    """Make a grammar of a random cell. The windows may overlap, and the last one may be short."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    (cell, carried), steps = choose.choice(CELLS), choose.randint(2, 7)
    through = choose.randint(1, steps)
    x, y = (
        torch.randn(BATCH, steps, FEATURES, generator=generator),
        torch.randint(CLASSES, (BATCH,), generator=generator),
    )
    return truncated_bptt(
        arrays(x, y, batch=BATCH, shuffle=False),
        Factory.of(cell, FEATURES, WIDTH),
        Factory.of(nn.Linear, WIDTH, CLASSES),
        through=through,
        every=choose.randint(1, through),
        carried=carried,
    )


def unrolled(seed: int) -> Measured:
    """Compare a scan, node by node, with a chain of queries of one player whose objective holds states fixed.

    The objective has a term for each window: the losses of its steps, with the state at its beginning held fixed. The
    measured value is the largest difference between the responses of the two grammars.
    """
    choose, steps = random.Random(seed), 6
    through = choose.randint(1, steps)
    truncation = Truncation(through, choose.randint(1, through))
    looped, chain = (_told(make(seed, steps, truncation), seed) for make in (_looped, _chain))
    found = [
        Measured(name, _apart(looped[name], each), 1e-10, f"{name} *", repr(truncation)) for name, each in chain.items()
    ]
    return worst(found)


def _apart(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


def _looped(seed: int, steps: int, truncation: Truncation) -> Grammar:
    return truncated_bptt(
        _sequences(seed, steps),
        Factory.of(nn.RNNCell, FEATURES, WIDTH),
        Factory.of(nn.Linear, WIDTH, CLASSES),
        Factory.of(mse_loss),
        through=truncation.through,
        every=truncation.every,
    )


def _chain(seed: int, steps: int, truncation: Truncation) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("Nature", _sequences(seed, steps))()
    cell, readout = q.player("Cell", nn.RNNCell, FEATURES, WIDTH), q.player("Readout", nn.Linear, WIDTH, CLASSES)
    states, losses = [], []
    for step in range(steps):
        row = q.operator(f"row{step}", _at, step=step)(x)
        states.append(cell(row, *states[-1:]))
        aim = q.operator(f"aim{step}", _at, step=step)(y)
        losses.append(q.loss(f"Loss{step}", _share, steps=steps)(readout(states[-1]), aim))
    terms = [
        minimise(*losses[first:last], held=states[begin - 1 : begin] if begin else [])
        for begin, first, last in truncation.windows(steps)
    ]
    objective = terms[0]
    for each in terms[1:]:
        objective += each
    return Grammar("unrolled", q.graph(), chain_rule(q, objective), objective, exact())


def _at(values: Tensor, step: int) -> Tensor:
    return values[:, step]


def _share(output: Tensor, aim: Tensor, steps: int) -> Tensor:
    return mse_loss(output, aim) / steps


def _sequences(seed: int, steps: int) -> OracleDeclaration:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(BATCH, steps, size, generator=generator) for size in (FEATURES, CLASSES))
    return arrays(x, y, batch=BATCH, shuffle=False)


def _told(grammar: Grammar, seed: int) -> dict[str, Tensor]:
    with in_double():
        return dict(next(iter(record(in_float64(grammar), seed))).responses)


SUITE = Suite(
    "truncated-bptt",
    (Case("windows", windows),),
    (Study("equal to an unrolled network whose objective holds the states fixed", unrolled, instances=6),),
)
