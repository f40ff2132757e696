"""Recurrent networks through `scan`, compared with loops over the steps in plain PyTorch: speed, compile time, memory.

python -m benchmarks.scan [--repetitions 21] [--steps 50 200 800]

Times are of the processor: both sides compute in one thread. The loops by hand unbind the sequence once and stack the
outputs once. A scan runs torch's cells as torch's layers (`grammars/torch_cells.py`), any other cell step by step.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.compile import compile_schedule
from antiphon.coordinator.plan.placement import spread
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar, QueryDraft, chain_rule, exact, minimise, scan
from antiphon.grammars.library.recurrent import recurrent
from antiphon.oracles import memory
from benchmarks.paired import in_turn, paired_ratio, seconds_a_round
from benchmarks.plain import Play, plain_rounds
from benchmarks.report import machine, options, table, write_section

ROOT = Path(__file__).resolve().parents[1]
RATE, BATCH, SYMBOLS, WIDTH, INPUTS, HIDDEN = 0.01, 16, 256, 128, 8, 64
SGD = AgentSpecification.of("SGD", {"lr": RATE})


def symbols(steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return one batch of a text: symbols, the symbols that follow, and that no example begins."""
    windows = torch.randint(SYMBOLS, (BATCH, steps + 1), generator=torch.Generator().manual_seed(0))
    return windows[:, :-1].contiguous(), windows[:, 1:].contiguous(), torch.zeros(BATCH, dtype=torch.bool)


def language_model(steps: int) -> Grammar:
    """Make the library's recurrent grammar, with one layer of cells. Nature always answers the same batch."""
    nature = arrays(*symbols(steps), batch=BATCH, shuffle=False)
    return recurrent(nature, memory((WIDTH,), (WIDTH,), batch=BATCH), WIDTH, SYMBOLS)


def language_model_by_hand(steps: int) -> Play:
    """Return the same language model in plain PyTorch, with its state carried from round to round."""
    embedding, cell, readout = nn.Embedding(SYMBOLS, WIDTH), nn.LSTMCell(WIDTH, WIDTH), nn.Linear(WIDTH, SYMBOLS)
    x, y, _ = symbols(steps)
    kept = torch.zeros(BATCH, WIDTH), torch.zeros(BATCH, WIDTH)

    def loss() -> Tensor:
        nonlocal kept
        state, outputs = kept, []
        for each in embedding(x).unbind(1):
            state = cell(each, state)
            outputs.append(state[0])
        kept = state[0].detach(), state[1].detach()
        return cross_entropy(readout(torch.stack(outputs, 1)).flatten(0, 1), y.flatten())

    return plain_rounds(loss, [*embedding.parameters(), *cell.parameters(), *readout.parameters()], RATE)


def numbers(steps: int) -> tuple[Tensor, Tensor]:
    """Return one batch of sequences of numbers, and a target for the last step."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(BATCH, steps, INPUTS, generator=generator), torch.randn(BATCH, 1, generator=generator)


def network(steps: int, cell: Factory = Factory.of(nn.RNNCell, INPUTS, HIDDEN)) -> Grammar:
    """Make the grammar of a recurrent network with a target for the last step."""
    q = QueryDraft()
    x, y = q.oracle("Nature", arrays(*numbers(steps), batch=BATCH, shuffle=False))()
    _, last = q.player("Cell", scan(cell))(x)
    objective = minimise(q.loss("Loss", mse_loss)(q.player("Readout", nn.Linear, HIDDEN, 1)(last), y))
    return Grammar("network", q.graph(), chain_rule(q, objective), objective, exact())


def network_by_hand(steps: int, make: Factory = Factory.of(nn.RNNCell, INPUTS, HIDDEN)) -> Play:
    """Return the same recurrent network in plain PyTorch."""
    cell, readout = make(), nn.Linear(HIDDEN, 1)
    x, y = numbers(steps)

    def loss() -> Tensor:
        state = None
        for each in x.unbind(1):
            state = cell(each, state)
        assert state is not None  # there is a step
        return mse_loss(readout(state), y)

    return plain_rounds(loss, [*cell.parameters(), *readout.parameters()], RATE)


@final
class OwnCell(nn.Module):
    """A cell that is none of torch's: one linear layer of input and state, and tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(INPUTS + HIDDEN, HIDDEN)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the new state, (batch, HIDDEN)."""
        before = x.new_zeros(len(x), HIDDEN) if state is None else state
        return torch.tanh(self.layer(torch.cat([x, before], 1)))


OWN = Factory.of(OwnCell)
PAIRS: dict[str, tuple[Callable[[int], Grammar], Callable[[int], Play]]] = {
    "language model, LSTM": (language_model, language_model_by_hand),
    "recurrent network": (network, network_by_hand),
    "recurrent network, own cell": (partial(network, cell=OWN), partial(network_by_hand, make=OWN)),
}


def inline(name: str, steps: int) -> InlineExecutor:
    """Return the inline executor of one of the grammars."""
    return InlineExecutor(assign(PAIRS[name][0](steps), SGD))


def speed(name: str, steps: int, repetitions: int) -> list[str]:
    """Measure rounds of one grammar and of its loop by hand, in turn. Returns a row of a table."""
    with inline(name, steps) as executor:
        players = {"loop": PAIRS[name][1](steps), "inline": executor.play}
        for play in players.values():
            play(3)
        rounds = max(3, round(0.2 / seconds_a_round(players["loop"], 3, time.process_time)))
        times = in_turn(
            {key: partial(seconds_a_round, play, rounds, time.process_time) for key, play in players.items()},
            repetitions,
        )
    best = min(times["inline"]) / min(times["loop"])
    ratio = paired_ratio(times["inline"], times["loop"])
    return [name, str(steps), f"{1e3 * min(times['loop']):.1f}", str(ratio), f"{best:.2f}"]


def compiled(name: str, steps: int) -> tuple[float, int]:
    """Declare a grammar and compile its schedule, one worker each. Returns the seconds, and the number of steps of the
    schedule.
    """
    began = time.process_time()
    grammar = PAIRS[name][0](steps)
    schedule = compile_schedule(grammar, spread(grammar))
    return time.process_time() - began, len(schedule.steps)


def grown(name: str, side: str, steps: int) -> float:
    """Return by how many MB the largest memory of this process grows in the first rounds of `side`: inline or loop."""
    PAIRS[name][1](2)(1)  # the first backward pass of a process imports what all others use
    play = inline(name, steps).play if side == "inline" else PAIRS[name][1](steps)
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory is measured anew
    before = _memory()
    play(4)
    return (_memory() - before) / 1024


def _memory() -> int:
    """Return the largest memory of this process since it was last measured anew, in KB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory_of(name: str, side: str, steps: int) -> float:
    """Return the result of `grown` in a process of its own."""
    program = (
        "import torch; torch.set_num_threads(1); from benchmarks.scan import grown; "
        f"print(grown({name!r}, {side!r}, {steps}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    return float(done.stdout)


def main() -> None:
    """Measure, print the tables, and write this benchmark's section of RESULTS.md."""
    given: dict[str, Any] = options(__doc__, repetitions=21, steps=[50, 200, 800])  # Any: see `options`
    torch.set_num_threads(1)
    text = "\n\n".join(sections(given["repetitions"], given["steps"]))
    print(text)
    head = (
        "`python -m benchmarks.scan`: one thread, times of the processor "
        f"({machine()}). The loops by hand use the same cells. A scan runs torch's cells as torch's layers."
    )
    write_section("Scan beside loops over the steps", f"{head}\n\n{text}")


def sections(repetitions: int, steps: Sequence[int]) -> list[str]:
    """Return the tables of speed, and of compile time and memory by the number of steps."""
    fast = [speed(name, each, repetitions) for name in PAIRS for each in (64, 200)]
    slow = []
    for name in PAIRS:
        compiled(name, 2)  # the first use of some code is slower
        for each in steps:
            seconds, count = min(compiled(name, each) for _ in range(5))
            used = [memory_of(name, side, each) for side in ("inline", "loop")]
            slow.append([name, str(each), f"{1e3 * seconds:.0f}", str(count), *(f"{value:.0f}" for value in used)])
    return [
        table(["model", "steps", "loop, ms (best)", "inline / loop (95 % interval)", "best times"], fast),
        table(["model", "steps", "declare and compile, ms", "steps of the schedule", "inline, MB", "loop, MB"], slow),
    ]


if __name__ == "__main__":
    main()
