"""A GAN on a grid of 16 Gaussians: how many of them simultaneous, optimistic and adjusted players find.

python -m benchmarks.modes [--rounds 8000] [--seeds 5]
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from antiphon.agents.specification import AgentSpecification
from antiphon.envs import arrays
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import DenseAnalysis, DenseSynthesis
from antiphon.grammars.library.adjusted_game import adjusted_gan, consensus, plain, symplectic
from antiphon.grammars.seeds import forked
from antiphon.launching import agent, launch
from antiphon.oracles import gaussian
from antiphon.recipes.common.recipe import trained
from benchmarks.report import machine, options, table, write_section

FIGURES, PICTURE = (Path(__file__).with_name(f"modes.{kind}") for kind in ("json", "png"))
CENTERS = torch.tensor(list(product((-3.0, -1.0, 1.0, 3.0), repeat=2)))
SCALE, ITEMS, BATCH, LATENT, WIDTHS = 0.1, 16_000, 128, 16, [64, 64]
DRAWN, POINTS = 3200, 16
"""Number of forged examples that are judged, and of the times at which they are."""

ADAM = {"lr": 0.0005, "betas": [0.5, 0.9]}
LEARNERS: Mapping[str, tuple[Factory, AgentSpecification]] = {
    "simultaneous": (Factory.of(plain), agent("Adam", lr=ADAM["lr"], betas=ADAM["betas"])),
    "optimistic": (Factory.of(plain), agent(agent="optimistic", base="Adam", **ADAM)),
    "symplectic": (Factory.of(symplectic, weight=1.0), agent("Adam", lr=ADAM["lr"], betas=ADAM["betas"])),
    "consensus": (Factory.of(consensus, weight=1.0), agent("Adam", lr=ADAM["lr"], betas=ADAM["betas"])),
}
"""By name: the adjustment of the players' gradients, and the agent of both players."""


@dataclass(frozen=True)
class Curve:
    """One run: the number of modes found, and the part of forged examples near a mode, after `rounds` rounds each."""

    learner: str
    seed: int
    rounds: list[int]
    modes: list[int]
    near: list[float]
    milliseconds: float


def game(learner: str, seed: int) -> Grammar:
    """Make the GAN of a learner. The seed draws the real examples."""
    generator = torch.Generator().manual_seed(seed)
    x = CENTERS.repeat(ITEMS // len(CENTERS), 1) + SCALE * torch.randn(ITEMS, 2, generator=generator)
    forger = Factory.of(DenseSynthesis, LATENT, (2,), WIDTHS)
    curator = Factory.of(DenseAnalysis, (2,), 1, WIDTHS, slope=0.2)
    return adjusted_gan(arrays(x, batch=BATCH), gaussian((LATENT,), batch=BATCH), forger, curator, LEARNERS[learner][0])


def judged(forged: Tensor) -> tuple[int, float]:
    """Return (modes found, part of the examples that are near a mode). forged: (count, 2).

    An example is near a mode if it is at most three standard deviations from the center. A mode is found if at least a
    fifth of its share of the examples is near it.
    """
    distances, nearest = torch.cdist(forged, CENTERS).min(1)
    near = distances <= 3 * SCALE
    counts = torch.bincount(nearest[near], minlength=len(CENTERS))
    return int((counts >= len(forged) / len(CENTERS) / 5).sum()), float(near.float().mean())


def curve(learner: str, seed: int, rounds: int) -> Curve:
    """Train a GAN, and judge its forged examples at equal intervals."""
    grammar, times = game(learner, seed), [rounds * (index + 1) // POINTS for index in range(POINTS)]
    found: list[tuple[int, float]] = []
    spent = 0.0
    with launch(grammar, LEARNERS[learner][1], seed=seed) as play:
        for each in times:
            began = time.process_time()
            play.play(each - play.round)
            spent += time.process_time() - began
            with forked(seed), torch.no_grad():
                found.append(judged(trained(grammar, "Forger", play.states())(torch.randn(DRAWN, LATENT))))
    modes, near = map(list, zip(*found, strict=True))
    return Curve(learner, seed, times, modes, near, 1000 * spent / rounds)


def draw(curves: Sequence[Curve]) -> None:
    """Draw the modes found and the examples near a mode, by round: each run thin, and the mean of each learner."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4))
    for axis, key in zip(axes, ("modes", "near"), strict=True):
        for index, name in enumerate(LEARNERS):
            runs = [getattr(each, key) for each in curves if each.learner == name]
            times = next(each.rounds for each in curves if each.learner == name)
            for run in runs:
                axis.plot(times, run, f"C{index}", alpha=0.25, linewidth=0.8)
            axis.plot(times, [fmean(each) for each in zip(*runs, strict=True)], f"C{index}", label=name)
        axis.grid(alpha=0.3)
        axis.set(xlabel="rounds")
    axes[0].set(ylabel="modes found, of 16")
    axes[1].set(ylabel="examples near a mode")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def summary(curves: Sequence[Curve]) -> str:
    """Return a table of the learners: modes at the end (mean, least), examples near a mode, time of a round."""
    rows = []
    for name in LEARNERS:
        runs = [each for each in curves if each.learner == name]
        modes = [each.modes[-1] for each in runs]
        near, spent = fmean(each.near[-1] for each in runs), min(each.milliseconds for each in runs)
        rows.append([name, f"{fmean(modes):.1f}", min(modes), f"{100 * near:.0f} %", f"{spent:.1f}"])
    return table(["players", "modes, mean", "modes, least", "near a mode", "ms of CPU a round"], rows)


def main() -> None:
    """Train all learners on all seeds, and write the figures, the picture and this benchmark's section."""
    chosen = options(__doc__, rounds=8000, seeds=5)
    curves = [curve(name, seed, chosen["rounds"]) for seed in range(chosen["seeds"]) for name in LEARNERS]
    FIGURES.write_text(json.dumps([asdict(each) for each in curves], indent=1) + "\n")
    draw(curves)
    found = summary(curves)
    print(found)
    write_section("Modes of a GAN", TEXT.format(found, machine=machine(), **chosen, **ADAM))


TEXT = """`python -m benchmarks.modes` ({machine}). A GAN learns a grid of 16 Gaussians in the plane, with distance 2
and standard deviation 0.1. Both networks have two hidden layers of 64 units. Forger maximises log D. All players use
Adam with lr = {lr} and betas = {betas}, for {rounds} rounds, {seeds} seeds. `optimistic` is optimistic Adam,
`symplectic` and `consensus` have weight 1. An example is near a mode if it is at most three standard deviations from
it. A mode is found if a fifth of its share of 3 200 examples is near it.

{0}

The raw figures are in `benchmarks/modes.json`.

![Modes found and examples near a mode, by round](modes.png)
"""


if __name__ == "__main__":
    main()
