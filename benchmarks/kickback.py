"""Kickback compared with backpropagation: regression error on diabetes and on the inverse dynamics of an arm.

python -m benchmarks.kickback [--seeds 0 1 2] [--rounds 1500]
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from antiphon.coordinator.plan.placement import together
from antiphon.envs import arrays, diabetes_arrays
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.library.kickback import kickback
from antiphon.grammars.library.kicking import Weights, kicking_layers
from antiphon.launching import agent, launch
from antiphon.recipes.common.recipe import predicted
from benchmarks.arm import JOINTS, movements
from benchmarks.report import machine, table, write_section

PICTURE = Path(__file__).with_name("kickback.png")
RATES = (0.001, 0.003, 0.01)
TUNED_ON = JOINTS.index("shoulder lift")
"""The learning rates for the arm are chosen on this joint. Its torque is the least linear one."""
ARM_PANEL = "torque that lifts the shoulder"


@dataclass(frozen=True)
class Contender:
    """A network, and the method that computes gradients: kickback or backpropagation.

    The two contenders with the same network differ only in the Response graph.
    """

    response: str
    signed: bool
    weights: Weights

    @property
    def label(self) -> str:
        """The contender's name in tables."""
        return f"{'signed' if self.signed else 'plain'}, {self.weights} | {self.response}"


CONTENDERS = (
    Contender("backpropagation", False, Weights.FREE),
    Contender("kickback", False, Weights.FREE),
    Contender("backpropagation", True, Weights.STARTED),
    Contender("kickback", True, Weights.STARTED),
    Contender("backpropagation", True, Weights.COHERENT),
    Contender("kickback", True, Weights.COHERENT),
    Contender("backpropagation", False, Weights.COHERENT),
    Contender("kickback", False, Weights.COHERENT),
)
ON_THE_ARM = CONTENDERS[:6]
"""All contenders except the last two, whose networks can only compute increasing
convex functions of their first layer."""


@dataclass(frozen=True)
class Task:
    """Standardised training and test data, (n, inputs) and (n, 1) each, and the training settings.

    widths: widths of the hidden layers. rounds: length of the training. every: rounds between two evaluations.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    widths: tuple[int, ...]
    batch: int
    rounds: int
    every: int

    @property
    def linear(self) -> float:
        """The test error of linear least squares, to compare the networks with."""
        x, other = (torch.cat([part[0], torch.ones(len(part[0]), 1)], 1) for part in (self.train, self.test))
        found = torch.linalg.lstsq(x.double(), self.train[1].double()).solution
        return float((other.double() @ found - self.test[1]).square().mean())


def diabetes_task(validate: bool) -> Task:
    """Return the diabetes data as a task. If `validate`, the test data are the last fifth of the training split.

    The training data are then the first four fifths of the training split.
    """
    x, y = diabetes_arrays("train")
    cut = 4 * len(x) // 5
    train, test = ((x[:cut], y[:cut]), (x[cut:], y[cut:])) if validate else ((x, y), diabetes_arrays("test"))
    return Task(train, test, (32, 32, 32), 32, 400, 50)


def arm_task(joint: int, rounds: int, validate: bool) -> Task:
    """Return a task: predict the torque of one joint of a simulated arm, from 200 movements.

    The test data are 40 other movements. If `validate`, the test data are 40 further movements.
    """
    (x, y), (other, target) = movements(200, seed=0), movements(40, seed=2 if validate else 1)
    y, target = y[:, joint : joint + 1], target[:, joint : joint + 1]
    train, test = (_scaled(x, x), _scaled(y, y)), (_scaled(other, x), _scaled(target, y))
    return Task(train, test, (64, 64, 64), 64, rounds, rounds // 10)


def _scaled(values: np.ndarray, by: np.ndarray) -> Tensor:
    return torch.tensor((values - by.mean(0)) / by.std(0), dtype=torch.float32)


def make(task: Task, contender: Contender) -> Grammar:
    """Make the grammar of a contender: kickback, or backpropagation on the same Query graph."""
    layers = kicking_layers(task.train[0].shape[1:], task.widths, signed=contender.signed, weights=contender.weights)
    grammar = kickback(arrays(*task.train, batch=task.batch), layers)
    if contender.response == "kickback":
        return grammar
    response = chain_rule(grammar.query, grammar.objective)
    return replace(grammar, name="backpropagation", response=response, guarantee=exact())


def learn(task: Task, contender: Contender, rate: float, seed: int) -> list[float]:
    """Train a contender with Adam. Return the test errors after every `task.every` rounds.

    The unit is the variance of the training targets. rate: the learning rate.
    """
    grammar, (x, y) = make(task, contender), task.test
    errors = []
    with launch(grammar, agent("Adam", lr=rate), placement=together(grammar), seed=seed) as game:
        for _ in range(task.rounds // task.every):
            game.play(task.every)
            errors.append(float((predicted(grammar, game.states(), x) - y).square().mean()))
    return errors


def tune(task: Task, contender: Contender, seeds: Sequence[int], anytime: bool) -> tuple[float, int]:
    """Return the learning rate and the training time with the smallest mean test error over seeds.

    The training time is a number of evaluations, each after `task.every` rounds. anytime: whether training may stop
    early; otherwise only the final error counts.
    """
    found = {}
    for rate in RATES:
        curve = np.mean([learn(task, contender, rate, seed) for seed in seeds], 0)
        for step in range(0 if anytime else len(curve) - 1, len(curve)):
            found[rate, step + 1] = float(curve[step])
    return min(found, key=lambda key: found[key])


def on_diabetes(seeds: Sequence[int], curves: dict[str, Mapping[str, np.ndarray]]) -> str:
    """Train all contenders on diabetes, and return the table. Adds the error curves at the chosen rates to `curves`."""
    rows, drawn = [], {}
    task = diabetes_task(validate=False)
    for contender in CONTENDERS:
        rate, steps = tune(diabetes_task(validate=True), contender, seeds, anytime=True)
        learned = np.array([learn(task, contender, rate, seed) for seed in seeds])
        drawn[contender.label] = learned.mean(0)
        final = learned[:, steps - 1]
        each = " ".join(f"{error:.3f}" for error in final)
        rows.append([*contender.label.split(" | "), rate, steps * task.every, f"**{final.mean():.3f}**", each])
        print(*rows[-1], flush=True)
    curves["diabetes"] = drawn
    return table(["network", "R", "rate", "rounds", "error", "by seed"], rows) + _linear([task])


def on_the_arm(seeds: Sequence[int], rounds: int, curves: dict[str, Mapping[str, np.ndarray]]) -> str:
    """Train all contenders on the arm, and return the table.

    Adds the error curves of the joint `TUNED_ON` to `curves`.
    """
    rows, drawn = [], {}
    tasks = [arm_task(joint, rounds, validate=False) for joint in range(len(JOINTS))]
    for contender in ON_THE_ARM:
        rate, _ = tune(arm_task(TUNED_ON, rounds, validate=True), contender, seeds[:1], anytime=False)
        learned = np.array([[learn(task, contender, rate, seed) for seed in seeds] for task in tasks])
        drawn[contender.label] = learned[TUNED_ON].mean(0)
        final = learned[:, :, -1].mean(1)
        each = [f"{error:.4f}" for error in final]
        rows.append([*contender.label.split(" | "), rate, f"**{final.mean():.4f}**", *each])
        print(*rows[-1], flush=True)
    curves[ARM_PANEL] = drawn
    return table(["network", "R", "rate", "mean", *JOINTS], rows) + _linear(tasks)


def _linear(tasks: Sequence[Task]) -> str:
    errors = [task.linear for task in tasks]
    return f"\n\nLeast squares, for scale: {', '.join(f'{error:.4f}' for error in errors)}" + (
        f" (mean {fmean(errors):.4f})." if len(errors) > 1 else "."
    )


def draw(curves: Mapping[str, Mapping[str, np.ndarray]], steps: Mapping[str, int]) -> None:
    """Draw the error curves: one panel per task, one colour per network. Kickback's lines are dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(curves), figsize=(12, 4.5))
    for axis, (task, drawn) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        networks = list(dict.fromkeys(label.split(" | ")[0] for label in drawn))
        for label, curve in drawn.items():
            network, response = label.split(" | ")
            rounds = steps[task] * np.arange(1, len(curve) + 1)
            style = {"color": f"C{networks.index(network)}", "linestyle": "--" if response == "kickback" else "-"}
            axis.plot(rounds, curve, label=f"{network}: {response}", **style)
        axis.set(title=task, xlabel="rounds", ylabel="test error / variance of the target", yscale="log")
        axis.grid(alpha=0.3, which="both")
    np.atleast_1d(axes)[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Tune and train all contenders, print the tables, and write this benchmark's section of RESULTS.md and the
    picture.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=1500, help="for the arm")
    chosen = parser.parse_args()
    curves: dict[str, Mapping[str, np.ndarray]] = {}
    diabetes, arm = on_diabetes(chosen.seeds, curves), on_the_arm(chosen.seeds, chosen.rounds, curves)
    draw(curves, {"diabetes": 50, ARM_PANEL: chosen.rounds // 10})
    write_section(
        "Kickback beside backpropagation",
        TEXT.format(chosen=chosen, machine=machine()).replace("DIABETES", diabetes).replace("ARM", arm),
    )


TEXT = """`python -m benchmarks.kickback`, seeds {chosen.seeds} ({machine}). Mean squared test errors, in units of the
training targets' variance: 1 is what the constant mean would do. In each pair of rows Q, seeds, batches and optimizer
(Adam, its rate of 0.001, 0.003, 0.01 chosen on validation data for each row alone) are the same, and R differs.
Networks have three hidden layers. *Signed*: every second unit outputs its rectified value with a minus. *Free*
weights start as torch draws them; *started* ones, above the first layer, with the sign of the unit that they lead to;
*coherent* ones keep it, and kickback's promise about signs holds for these alone.

Diabetes, three layers of 32, batch 32; rounds chosen on validation data too (the curve shows all 400):

DIABETES

Inverse dynamics of an arm with seven joints (`benchmarks/arm.py`: 21 numbers in, 10 000 moments to learn from, 2 000 of
other movements to be judged on), three layers of 64, batch 64, {chosen.rounds} rounds; seven networks, one for each
joint's torque; means over seeds; rates chosen on the shoulder's lift with the first seed:

ARM

Means over seeds, with the chosen rates:

![Test error by rounds](kickback.png)
"""


if __name__ == "__main__":
    main()
