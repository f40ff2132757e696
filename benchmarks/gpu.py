"""What a GPU does: the doctor, numbers compared with the CPU's, shared GPUs, precisions, copies, updates per second.

    python -m benchmarks.gpu [--device cuda] [--seconds 600]

A part that fails is reported as such, and the others run. The section is written anew after each part. With
`--device cpu`, every part that can runs on the CPU with tiny sizes, and nothing is written.
"""

import argparse
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, Precision, WorkerResources, spread, together
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.doctor.findings import CheckFailed, Finding, Health, NotRun, examine, summary
from antiphon.doctor.gpu import LOSSES, loss_difference
from antiphon.doctor.machine import examination
from antiphon.doctor.rounds import routes
from antiphon.envs import arrays
from antiphon.experiments.load import read_experiment
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.library.networks import Dense
from antiphon.pictures.gallery import library
from antiphon.transport.device import host_memory
from antiphon.transport.memory import tensor_over
from benchmarks.paired import in_turn, rows_of, seconds_a_round
from benchmarks.plain import Play, plain_network
from benchmarks.plain_dac import PlainDac
from benchmarks.report import machine, table, write_section

RATE = 0.01
CLASSES = 10
SGD = AgentSpecification.of("SGD", {"lr": RATE})
ROUNDS = 12  # of comparisons with the CPU
SOON = {"envs": 2, "batch": 16, "warmup": 4, "learn_from": 3, "act_every": 1}
EAGER = "plain PyTorch, eager"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setup:
    """The device, and the sizes that suit it.

    widths, batch: of the networks. seconds: of a measurement of a contestant. mebibytes: sizes of copies. dac: keys of
    the experiment `dac` for the measurement.
    """

    device: torch.device
    widths: Sequence[int] = (256, 4096)
    batch: int = 256
    repetitions: int = 7
    seconds: float = 0.3
    mebibytes: Sequence[float] = (0.0625, 1, 16, 256)
    dac: Mapping[str, object] = field(default_factory=lambda: {"warmup": 300, "learn_from": 300})

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return self.device.type == "cpu"

    def wait(self) -> None:
        """Wait until the device has done all work."""
        if not self.on_cpu:
            torch.cuda.synchronize(self.device)

    def seconds_of(self, play: Play, rounds: int) -> float:
        """Return the seconds of one of `rounds` rounds, until the device has done their work."""

        def played(rounds: int) -> None:
            play(rounds)
            self.wait()

        return seconds_a_round(played, rounds)

    def compared(self, contestants: Mapping[str, Play], base: str, what: str = "contestant") -> str:
        """Measure contestants in turn. Returns a table of rounds per second, and of times relative to `base`."""
        for play in contestants.values():
            play(3)
        rounds = {name: max(1, round(self.seconds / self.seconds_of(play, 3))) for name, play in contestants.items()}
        times = in_turn(
            {name: partial(self.seconds_of, play, rounds[name]) for name, play in contestants.items()},
            self.repetitions,
        )
        found = [
            [name, f"{1 / median(times[name]):.1f}", milliseconds, ratio]
            for name, milliseconds, ratio in rows_of(times, base, scale=1e3)
        ]
        return table([what, "rounds/s", "ms a round (median)", "ratio of times (95 % interval)"], found)


TINY = Setup(CPU, (8,), 16, 2, 0.005, (0.001,), {**SOON, "widths": [8]})


def data(setup: Setup, width: int) -> tuple[Tensor, Tensor]:
    """One batch of inputs (batch, width) and labels (batch,), on the CPU."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(setup.batch, width, generator=generator)
    return x, torch.randint(CLASSES, (setup.batch,), generator=generator)


def layers(width: int) -> Mapping[str, Factory]:
    """Three layers with rectifiers, and a linear one."""
    hidden = {f"Layer{index}": Factory.of(Dense, width, width) for index in (1, 2, 3)}
    return {**hidden, "Layer4": Factory.of(nn.Linear, width, CLASSES)}


def network(setup: Setup, width: int) -> Grammar:
    """The layers as players. Nature always answers the same batch, from the CPU."""
    return backprop(arrays(*data(setup, width), batch=setup.batch, shuffle=False), layers(width))


def modules(setup: Setup, width: int) -> list[nn.Module]:
    """The layers in plain PyTorch, on the device."""
    return [each().to(setup.device) for each in layers(width).values()]


def plain(setup: Setup, width: int, compiled: bool = False) -> Play:
    """Rounds of the layers in plain PyTorch. Its batch is on the device from the beginning."""
    x, y = (each.to(setup.device) for each in data(setup, width))
    stacked = nn.Sequential(*modules(setup, width))
    chosen = torch.compile(stacked) if compiled else stacked
    assert isinstance(chosen, nn.Module)  # as `torch.compile` returns for a module
    return plain_network([chosen], x, y, RATE)


def doctor(setup: Setup) -> str:
    """The lines of `antiphon doctor --gpu`."""
    findings = list(examination(gpu=not setup.on_cpu))
    return "\n".join(["```text", *(each.line for each in findings), summary(findings), "```"])


def grammars() -> Mapping[str, Grammar]:
    """All grammars of the library. Those that act in an environment learn within a few rounds."""
    acting = {
        name: read_experiment(name, {f"{name.replace('-', '_')}.{key}": value for key, value in SOON.items()}).build()
        for name in ("dac", "critic-derivative")
    }
    return {**library(), **acting}


def difference(grammar: Grammar, device: torch.device) -> str:
    """Play some rounds inline on the CPU and on the device. Returns the largest relative difference of losses.

    Raises CheckFailed if it is above `LOSSES`. Neither run uses TensorFloat-32.
    """
    found = []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for each in (CPU, device):
            with InlineExecutor(assign(grammar, SGD, seed=5), device=each) as play:
                found.append(play.play(ROUNDS).losses)
    worst = loss_difference(*found)
    if not worst <= LOSSES:
        raise CheckFailed(f"losses differ by {worst:.1e}; expected at most {LOSSES:g}. Report this table.")
    return f"{worst:.1e}"


def equal_numbers(setup: Setup) -> str:
    """Every grammar of the library, inline on the device and on the CPU."""
    found = [examine(name, partial(difference, grammar, setup.device)) for name, grammar in grammars().items()]
    head = f"The largest relative difference of losses in {ROUNDS} rounds (at most {LOSSES:g}). {summary(found)}."
    rows = [[each.check, each.verdict, " ".join(each.said.split())] for each in found]
    return f"{head}\n\n{table(['grammar', 'verdict', 'difference'], rows)}"


def inline(setup: Setup, grammar: Grammar, scope: ExitStack, placement: Placement | None = None) -> InlineExecutor:
    """An inline executor on the device, which ends with the scope."""
    return scope.enter_context(InlineExecutor(assign(grammar, SGD, placement=placement), device=setup.device))


def updates(setup: Setup, width: int) -> str:
    """Updates per second of a network, inline on the device, beside plain PyTorch."""
    with ExitStack() as scope:
        ours = inline(setup, network(setup, width), scope).play
        return setup.compared({EAGER: plain(setup, width), "antiphon, inline": ours}, EAGER)


def compiled(setup: Setup, width: int) -> str:
    """Updates per second of a network in plain PyTorch, compiled and not."""
    contestants = {EAGER: plain(setup, width), "plain PyTorch, torch.compile": plain(setup, width, compiled=True)}
    return setup.compared(contestants, EAGER)


def graph(setup: Setup, width: int) -> str:
    """Updates per second of the plain round as a CUDA graph. So much could be won for rounds of static shape."""
    if setup.on_cpu:
        raise NotRun("a CUDA graph takes a CUDA device")
    return setup.compared({EAGER: plain(setup, width), "plain PyTorch, CUDA graph": graphed(setup, width)}, EAGER)


def graphed(setup: Setup, width: int) -> Play:
    """Capture one round of the layers in plain PyTorch. Returns a function that replays it and reads the loss."""
    x, y = (each.to(setup.device) for each in data(setup, width))
    stacked = nn.Sequential(*modules(setup, width))
    optimizer = torch.optim.SGD(stacked.parameters(), lr=RATE)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(stacked(x), y)
        loss.backward()
        optimizer.step()
        return loss

    aside = torch.cuda.Stream(setup.device)
    aside.wait_stream(torch.cuda.current_stream(setup.device))
    with torch.cuda.stream(aside):  # as torch's documentation asks before a capture
        for _ in range(3):
            step()
    optimizer.zero_grad(set_to_none=True)  # so that the capture makes the gradients in its own memory
    torch.cuda.current_stream(setup.device).wait_stream(aside)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        loss = step()

    def play(rounds: int) -> None:
        for _ in range(rounds):
            captured.replay()
            loss.item()

    return play


def dac_updates(setup: Setup) -> str:
    """Rounds per second of the experiment `dac` that learn, on the CPU and the device, and a plain update."""
    experiment = read_experiment("dac", {f"dac.{key}": value for key, value in setup.dac.items()})
    grammar = experiment.build()
    with ExitStack() as scope:
        contestants: dict[str, Play] = {}
        for name, device in {"on the CPU": CPU, "on the device": setup.device}.items():
            executor = scope.enter_context(InlineExecutor(assign(grammar, experiment.agents(grammar)), device=device))
            executor.play(experiment.table.learn_from + 1)
            contestants[f"antiphon, inline, {name}"] = executor.play
        plainly = "plain PyTorch, eager, the update alone"
        contestants[plainly] = PlainDac.of(setup.device, experiment.table).rounds()
        return setup.compared(contestants, plainly)


def precisions(setup: Setup, width: int) -> str:
    """Rounds per second in each precision, and how far the losses are from those in the declared precision."""
    grammar, losses = network(setup, width), {}
    with ExitStack() as scope:
        contestants: dict[str, Play] = {}
        for precision in Precision:
            of_each = tuple((player.name, precision) for player in grammar.query.players)
            executor = inline(setup, grammar, scope, placement=replace(together(grammar), precision=of_each))
            losses[precision] = executor.play(ROUNDS).losses
            contestants[precision] = executor.play
        apart = [f"{name}: {loss_difference(losses[Precision.DECLARED], each):.1e}" for name, each in losses.items()]
        measured = setup.compared(contestants, Precision.DECLARED, "precision")
    return f"{measured}\n\nThe largest relative difference of losses in {ROUNDS} rounds: {', '.join(apart)}."


def copies(setup: Setup) -> str:
    """The rate of copies between host and device, of ordinary memory and of the memory that channels use."""
    rows = []
    for mebibytes in setup.mebibytes:
        size = int(mebibytes * 2**20)
        there = torch.empty(size, dtype=torch.uint8, device=setup.device)
        kinds = {
            "ordinary": torch.empty(size, dtype=torch.uint8),
            "of channels (pinned)": tensor_over(host_memory(size, setup.device), torch.uint8, (size,)),
        }
        for name, here in kinds.items():
            rates = [rate(setup, *ends) for ends in ((there, here), (here, there))]
            rows.append([f"{mebibytes:g} MiB, {name}", *(f"{each:.2f}" for each in rates)])
    return table(["host memory", "to the device, GiB/s", "to the host, GiB/s"], rows)


def rate(setup: Setup, target: Tensor, source: Tensor) -> float:
    """GiB per second of a copy: the median over the repetitions."""

    def play(rounds: int) -> None:
        for _ in range(rounds):
            target.copy_(source, non_blocking=True)

    play(3)
    rounds = max(1, round(setup.seconds / 10 / setup.seconds_of(play, 3)))
    times = [setup.seconds_of(play, rounds) for _ in range(setup.repetitions)]
    return target.numel() / 2**30 / median(times)


def sharing(setup: Setup, width: int) -> str:
    """Players that share one GPU on Ray: each on its own worker, all on one worker, and inline."""
    grammar = network(setup, width)
    players = [player.name for player in grammar.query.players]
    one = on_gpu(setup, together(grammar), ["inline"])
    apart = on_gpu(setup, spread(grammar, fuse=[["Nature", "Loss"]]), players)
    with ray_session(num_cpus=16), ExitStack() as scope:
        contestants: dict[str, Play] = {"inline": inline(setup, grammar, scope).play}
        told = []
        for name, placement in {"Ray, one worker": one, "Ray, a worker for each player": apart}.items():
            assignment = assign(grammar, SGD, placement=placement)
            executor = RayExecutor(assignment, name.replace(" ", "-").replace(",", ""))
            scope.enter_context(executor)
            contestants[name] = executor.play
            told.append(f"{name}: {routes(assignment, executor.sites()) or 'no message'}")
        return f"Routes: {'; '.join(told)}.\n\n{setup.compared(contestants, 'inline')}"


def on_gpu(setup: Setup, placement: Placement, workers: Sequence[str]) -> Placement:
    """Let workers share less than half of one GPU. Without a GPU, leave the placement as it is."""
    share = WorkerResources(num_gpus=int(45 / len(workers)) / 100)
    return placement if setup.on_cpu else replace(placement, resources=tuple((each, share) for each in workers))


def parts(setup: Setup) -> Mapping[str, Callable[[Setup], str]]:
    """All parts by title. Those that matter most come first, and those that may take minutes last."""
    wide = setup.widths[-1]
    found: dict[str, Callable[[Setup], str]] = {"doctor": doctor, "inline, device against CPU": equal_numbers}
    for width in setup.widths:
        found[f"updates of a network, width {width}"] = partial(updates, width=width)
    found["rounds of DAC"] = dac_updates
    found[f"players that share a device, width {wide}"] = partial(sharing, width=wide)
    found[f"precisions, width {wide}"] = partial(precisions, width=wide)
    found["copies between host and device"] = copies
    for width in setup.widths:
        found[f"a round as a CUDA graph, width {width}"] = partial(graph, width=width)
    for width in setup.widths:
        found[f"compiled, width {width}"] = partial(compiled, width=width)
    return found


def run(setup: Setup, budget: float) -> list[Finding]:
    """Run all parts, and print each when it ends. No part begins after `budget` seconds. On a GPU, write the section.

    Each part that fails becomes a finding that says so.
    """
    began, found = time.monotonic(), list[Finding]()
    for title, part in parts(setup).items():

        def within(part: Callable[[Setup], str] = part) -> str:
            if time.monotonic() - began > budget:
                raise NotRun(f"the {budget:g} seconds were spent")
            try:
                return part(setup)
            except Exception as error:
                if not isinstance(error, NotRun | CheckFailed):
                    traceback.print_exc()  # the section holds one line of it
                raise

        found.append(examine(title, within))
        print(f"\n{time.monotonic() - began:.0f} s, {found[-1].verdict} {title}\n{found[-1].said}", flush=True)
        if not setup.on_cpu:
            write_section("On a GPU", report(setup, budget, found))
    return found


def report(setup: Setup, budget: float, found: Sequence[Finding]) -> str:
    """The section: a head, and a part for each finding."""
    head = (
        f"`python -m benchmarks.gpu --device {setup.device} --seconds {budget:g}` ({machine()}). Networks of four "
        f"layers, batch {setup.batch}, SGD. All contestants read the loss in each round. {summary(list(found))}."
    )
    return "\n\n".join([head, *(f"### {each.check}: {each.verdict}\n\n{each.said}" for each in found)])


def main() -> None:
    """Run everything. The exit code is 1 if a part failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=600.0)
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device; expected one. Try `antiphon doctor --gpu`, or --device cpu.")
    setup = TINY if given.device == "cpu" else Setup(torch.empty(0, device=given.device).device)  # with its index
    found = run(setup, given.seconds)
    raise SystemExit(any(each.verdict is Health.FAILED for each in found))


if __name__ == "__main__":
    main()
