"""The executor `inline` compared with training loops in plain PyTorch, for four grammars. All are measured in one run,
in turn.

python -m benchmarks.inline_ratio [--repetitions 31]

Times are of the processor: both sides compute in one thread and wait for nothing, so other programs of the machine
disturb them least.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, mse_loss

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop, gan, kickback
from antiphon.grammars.library.kicking import kicking_layers
from antiphon.grammars.library.networks import Dense
from antiphon.oracles import gaussian
from antiphon.recipes.dac import DacTable, build
from benchmarks.paired import in_turn, paired_ratio, seconds_a_round
from benchmarks.plain import Play, batches_of
from benchmarks.plain_dac import Pendulum, PlainDac
from benchmarks.report import machine, options, table, write_section

SIZES = (32, 32), (256, 64), (1024, 256)
"""Width and batch."""
RATES = {"SGD": 0.01, "Adam": 0.001}
CODES = 16
"""Numbers of noise per example of the GAN."""


def made(layers: Mapping[str, Factory]) -> list[nn.Module]:
    """Make the modules of a network from their factories, in order."""
    return [factory() for factory in layers.values()]


def hidden(width: int) -> dict[str, Factory]:
    """Return the factories of three layers with rectifiers, by name."""
    return {f"Layer{index}": Factory.of(Dense, width, width) for index in (1, 2, 3)}


def data(width: int, batch: int) -> tuple[Tensor, Tensor]:
    """Return the data of eight batches: inputs (rows, width) and targets (rows, 1)."""
    x = torch.randn(8 * batch, width, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1].contiguous()


Step = Callable[[Tensor, Tensor], Tensor]
"""Computes the loss of a batch, and puts the gradients into the parameters."""


def by_hand(step: Step, modules: list[nn.Module], optimizer: str, width: int, batch: int) -> Play:
    """Return a training loop in plain PyTorch, as a function that plays rounds. It has one optimizer for all
    parameters.

    step: computes the loss of a batch, and puts the gradients into the parameters.
    """
    parameters = [each for module in modules for each in module.parameters()]
    moves = getattr(torch.optim, optimizer)(parameters, lr=RATES[optimizer])
    batches = batches_of(*data(width, batch), batch)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            moves.zero_grad()
            loss = step(*next(batches))
            moves.step()
            loss.item()

    return play


def backprop_pair(width: int, batch: int) -> tuple[Grammar, Step, list[nn.Module]]:
    """Return backpropagation through four layers as a grammar, and as a training step in plain PyTorch with its
    modules.
    """
    layers = {**hidden(width), "Output": Factory.of(nn.Linear, width, 1)}
    modules = made(layers)
    network = nn.Sequential(*modules)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = mse_loss(network(x), y)
        loss.backward()
        return loss

    nature = arrays(*data(width, batch), batch=batch, shuffle=False)
    return backprop(nature, layers, loss=Factory(mse_loss)), step, modules


def gan_pair(width: int, batch: int) -> tuple[Grammar, Step, list[nn.Module]]:
    """Return a GAN with simultaneous updates as a grammar, and as a training step in plain PyTorch with its modules."""
    forger = Factory.of(make_forger, width)
    curator = Factory.of(make_curator, width)
    forge, judge = forger(), curator()

    def step(x: Tensor, _: Tensor) -> Tensor:
        real, fake = judge(x), judge(forge(torch.randn(batch, CODES)))
        value = logsigmoid(real).mean() + logsigmoid(-fake).mean()
        value.neg().backward()
        for parameter in forge.parameters():
            parameter.grad = None if parameter.grad is None else parameter.grad.neg()
        return value

    nature = arrays(*data(width, batch), batch=batch, shuffle=False)
    return gan(nature, gaussian((CODES,), batch=batch), forger, curator), step, [forge, judge]


def make_forger(width: int) -> nn.Module:
    """Make a GAN's generator: a network from noise (batch, CODES) to examples (batch, width)."""
    return nn.Sequential(nn.Linear(CODES, width), nn.ReLU(), nn.Linear(width, width))


def make_curator(width: int) -> nn.Module:
    """Make a GAN's discriminator: a network from examples (batch, width) to logits (batch, 1)."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def kickback_pair(width: int, batch: int) -> tuple[Grammar, Step, list[nn.Module]]:
    """Return kickback through four layers as a grammar, and as a training step in plain PyTorch with its modules."""
    layers = kicking_layers((width,), [width] * 3)
    modules = made(layers)

    def step(x: Tensor, y: Tensor) -> Tensor:
        played, kicks = [], []
        for module in modules:
            x, kick = module(x.detach())
            played.append(x)
            kicks.append(kick)
        output = x.detach().requires_grad_()
        loss = mse_loss(output, y)
        (beta,) = torch.autograd.grad(loss, output)
        for signal, kick in itertools.zip_longest(played, kicks[1:]):
            signal.backward(beta if kick is None else beta * kick)
        return loss

    nature = arrays(*data(width, batch), batch=batch, shuffle=False)
    return kickback(nature, layers), step, modules


def dac_pair(width: int, batch: int) -> tuple[Grammar, Step, list[nn.Module]]:
    """Return Deviator-Actor-Critic on Pendulum-v1, with a step of the environment in every round, as a grammar, and as
    a training step in plain PyTorch with its modules. The training step takes its batch from a replay of its own.
    """
    table = DacTable(envs=1, act_every=1, batch=batch, warmup=0, learn_from=0, widths=[width] * 2, reward_scale=100.0)
    plain = PlainDac.of(torch.device("cpu"), table)
    world = Pendulum(plain.mu, table)

    def step(*_: Tensor) -> Tensor:
        plain.follow()  # after the move of the round before
        world.step()
        return plain.respond(world.replay(batch))

    return build(table), step, [plain.mu, plain.value, plain.slope]


PAIRS = {"backprop": backprop_pair, "gan": gan_pair, "kickback": kickback_pair, "dac": dac_pair}


def row(name: str, optimizer: str, width: int, batch: int, repetitions: int) -> list[str]:
    """Measure one grammar and its training loop in plain PyTorch, in turn. Returns a row of the table."""
    grammar, step, modules = PAIRS[name](width, batch)
    with ExitStack() as scope:
        agent = AgentSpecification.of(optimizer, {"lr": RATES[optimizer]})
        players = {
            "loop": by_hand(step, modules, optimizer, width, batch),
            "inline": scope.enter_context(InlineExecutor(assign(grammar, agent))).play,
        }
        players["loop"](5)
        rounds = max(2, round(0.03 / seconds_a_round(players["loop"], 5, time.process_time)))
        measures = {key: partial(seconds_a_round, play, rounds, time.process_time) for key, play in players.items()}
        for warm in measures.values():
            warm()
        times = in_turn(measures, repetitions)
    ratio = paired_ratio(times["inline"], times["loop"])
    best = min(times["inline"]) / min(times["loop"])
    return [
        f"{name}, {optimizer}",
        str(width),
        str(batch),
        f"{1e3 * min(times['loop']):.2f}",
        str(ratio),
        f"{best:.2f}",
    ]


def main() -> None:
    """Measure, print the table, and write this benchmark's section of RESULTS.md."""
    repetitions = options(__doc__, repetitions=31)["repetitions"]
    torch.set_num_threads(1)
    rows = [
        row(name, optimizer, width, batch, repetitions)
        for name in PAIRS
        for optimizer in RATES
        for width, batch in SIZES
    ]
    header = ["grammar, optimizer", "width", "batch", "loop, ms (best)", "inline / loop (95 % interval)", "best times"]
    report = table(header, rows)
    print(report)
    head = (
        "`python -m benchmarks.inline_ratio`: a round inline beside a loop by hand with one optimizer for all players, "
        f"one thread ({machine()}). Times are of the processor. Our products of large float32 matrices go through "
        "oneDNN, torch's through MKL (docs/rounds.md)."
    )
    write_section("Inline beside loops by hand", f"{head}\n\n{report}")


if __name__ == "__main__":
    main()
