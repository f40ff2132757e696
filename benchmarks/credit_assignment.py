"""Rules of credit assignment over one Query graph: test error, angle to the gradient, messages, bytes, depth.

python -m benchmarks.credit_assignment [--splits 10] [--rounds 2000] [--tuning 500]
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from antiphon.checks.recorded import flat_gradient, record
from antiphon.checks.signs import angle
from antiphon.coordinator.plan.placement import together
from antiphon.envs import arrays, digits_arrays, mnist_arrays
from antiphon.grammars import Factory, Grammar, OracleDeclaration, ResponseDraft, cost, minimise
from antiphon.grammars.library import (
    Perceptron,
    activated_layers,
    backprop,
    feedback_alignment,
    reinforce,
    sign_symmetry,
    synthetic_gradients,
    target_propagation,
)
from antiphon.grammars.library.feedforward import Layer, RuleMessages, feedforward, responses
from antiphon.grammars.library.kickback import kicked
from antiphon.grammars.library.synthetic_gradients import Guesser
from antiphon.grammars.query import Port
from antiphon.grammars.seeds import forked
from antiphon.grammars.types import Order
from antiphon.grammars.writing import Message
from antiphon.launching import agent, launch
from antiphon.oracles import gaussian
from antiphon.recipes.common.recipe import predicted
from benchmarks.report import machine, options, table, write_section

FIGURES, PICTURE = (Path(__file__).with_name(f"credit_assignment.{kind}") for kind in ("json", "png"))
BATCH = 64
RATES = (0.0003, 0.001, 0.003)
BASE = "backpropagation"
SIGMA = 0.3
"""Standard deviation of the noise by which REINFORCE finds out what a hidden layer costs."""


@dataclass(frozen=True)
class Task:
    """Images, their labels, and the network that learns them.

    x: (items, pixels). y: (items,) classes; or (items, 1) truth values, for a network with one output. widths: of the
    hidden layers.
    """

    name: str
    x: Tensor
    y: Tensor
    widths: tuple[int, ...]
    activation: type[nn.Module]

    @property
    def loss(self) -> Factory:
        """The loss of the network's output: cross-entropy, or the logistic loss of one output."""
        return Factory(cross_entropy if self.y.dim() == 1 else binary_cross_entropy_with_logits)

    @property
    def layers(self) -> Mapping[str, Factory]:
        """The network's layers by name."""
        outputs = int(self.y.max()) + 1 if self.y.dim() == 1 else 1
        return activated_layers(self.x.shape[1:], self.widths, outputs, self.activation)

    def split(self, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return x and y of a random four fifths of the items, to learn from, and those of the rest."""
        rows = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(seed))
        cut = 4 * len(rows) // 5
        return self.x[rows[:cut]], self.y[rows[:cut]], self.x[rows[cut:]], self.y[rows[cut:]]

    def error(self, output: Tensor, y: Tensor) -> float:
        """Return the share of wrong answers, in per cent. output: what the network plays for the labels y."""
        wrong = output.argmax(1) != y if y.dim() == 1 else (output > 0) != (y > 0.5)
        return 100.0 * float(wrong.float().mean())


def tasks(widths: tuple[int, ...] = (256, 128)) -> list[Task]:
    """Return the four tasks: digits and MNIST, ten classes, or odd against even with one output."""
    found = []
    for name, read in (("digits", digits_arrays), ("MNIST", mnist_arrays)):
        x, y = (torch.cat(parts) for parts in zip(read("train"), read("test"), strict=True))
        found.append(Task(f"{name}, ten classes", x, y, widths, nn.Tanh))
        found.append(Task(f"{name}, odd or even", x, (y % 2).float().unsqueeze(1), widths, nn.ReLU))
    return found


def kickback(nature: OracleDeclaration, task: Task) -> Grammar:
    """Make the grammar of kickback with the layers of the other grammars. R makes the kicks: products with ones."""
    network = feedforward(nature, task.layers, task.loss)

    def rule(r: ResponseDraft, below: Layer, arrived: RuleMessages) -> Message:
        ones = r.map(torch.ones_like, r.tap(arrived.above.after))
        kick = r.product(arrived.above.played, arrived.above.inward(r, ones)).toward(0)
        return r.map(kicked, arrived.error, kick, name=f"kicked {below.name}")

    return Grammar("kickback", network.q.graph(), responses(network, rule).graph(), minimise(network.error))


def targets(nature: OracleDeclaration, task: Task, difference: bool) -> Grammar:
    """Make the grammar of target propagation. Its Query graph has inverses besides the network."""
    sizes = {f"Dense{index}": pair[::-1] for index, pair in enumerate(itertools.pairwise(task.widths), start=2)}
    inverses = {name: Factory.of(Perceptron, *pair, ()) for name, pair in sizes.items()}
    noises = {name: gaussian((pair[1],), batch=BATCH, scale=0.1) for name, pair in sizes.items()}
    return target_propagation(nature, task.layers, inverses, noises, task.loss, difference=difference)


def guesses(nature: OracleDeclaration, task: Task) -> Grammar:
    """Make the grammar of synthetic gradients. Its Query graph has players that guess besides the network."""
    labels = task.layers["Output"].arguments[1]
    guessers = {
        f"Dense{index}": Factory.of(Guesser, width, labels, (128,)) for index, width in enumerate(task.widths, 1)
    }
    return synthetic_gradients(nature, task.layers, guessers, task.loss)


def scores(nature: OracleDeclaration, task: Task) -> Grammar:
    """Make the grammar of REINFORCE. Normal noise is added to what the hidden layers play; Baseline predicts the cost.

    Its angles are those to the gradient of the loss of the sample, along the path through the noise.
    """
    baseline = Factory.of(Perceptron, task.x.shape[1], 1, (128,))
    return reinforce(nature, task.layers, baseline, Factory.of(Normal, SIGMA), task.loss)


RULES: Mapping[str, Callable[[OracleDeclaration, Task], Grammar]] = {
    BASE: lambda nature, task: backprop(nature, task.layers, task.loss),
    "feedback alignment": lambda nature, task: feedback_alignment(nature, task.layers, task.loss),
    "direct feedback alignment": lambda nature, task: feedback_alignment(nature, task.layers, task.loss, direct=True),
    "difference target propagation": lambda nature, task: targets(nature, task, True),
    "plain target propagation": lambda nature, task: targets(nature, task, False),
    "sign-symmetry": lambda nature, task: sign_symmetry(nature, task.layers, task.loss),
    "synthetic gradients": guesses,
    "REINFORCE": scores,
    "kickback": kickback,
}


def rules_of(task: Task) -> list[str]:
    """Return the names of the rules that fit a task: kickback needs a network with one output."""
    return [name for name in RULES if name != "kickback" or task.y.dim() == 2]


@dataclass(frozen=True)
class Run:
    """The course of one training.

    rounds: the numbers of the rounds at which it was measured. errors: the test errors there, in per cent. angles: the
    angles between the responses of the hidden layers and their gradients, in degrees, from the lowest layer upwards.
    """

    rounds: list[int]
    errors: list[float]
    angles: list[list[float]]


def learn(task: Task, rule: str, rate: float, seed: int, rounds: int, points: int) -> Run:
    """Train one network with Adam on a split of the data, and measure it `points` times after the start.

    seed: of the split, of the initial parameters, and of the order of the batches.
    """
    x, y, other, truth = task.split(seed)
    grammar = RULES[rule](arrays(x, y, batch=BATCH), task)
    run = Run([], [], [])
    with launch(grammar, agent("Adam", lr=rate), placement=together(grammar), seed=seed) as game:
        for point in range(points + 1):
            states = game.states()
            run.rounds.append(point * (rounds // points))
            with forked(seed):
                run.errors.append(task.error(predicted(grammar, states, other, Port("Output")), truth))
            here = next(iter(record(grammar, seed, states, run.rounds[-1])))
            hidden = [name for name in task.layers if name.startswith("Dense")]
            run.angles.append(
                [angle(here.responses[each], flat_gradient(here.composed, each, None)) for each in hidden]
            )
            if point < points:
                game.play(rounds // points)
    return run


def tune(task: Task, rule: str, rounds: int) -> float:
    """Return the learning rate with the smallest test error, on a split that the results do not use."""
    errors = {rate: learn(task, rule, rate, 1000, rounds, 1).errors[-1] for rate in RATES}
    return min(errors, key=lambda rate: errors[rate])


def interval(figures: Sequence[float]) -> str:
    """Return the mean of the figures and half of Student's 95 % interval of the mean, as text.

    >>> interval([1.0, 2.0, 3.0])
    '2.00 ± 2.48'
    """
    half = stats.t.ppf(0.975, len(figures) - 1) * np.std(figures, ddof=1) / len(figures) ** 0.5
    return f"{fmean(figures):.2f} ± {half:.2f}"


def described(task: Task, rule: str) -> list[object]:
    """Return what a rule costs in a round: messages and bytes of the Response graph, and depths of both graphs."""
    nature = arrays(task.x[:BATCH], task.y[:BATCH], batch=BATCH)
    found = cost(RULES[rule](nature, task))
    sent = sum(hop.rounds * hop.bytes for hop in found.hops if hop.graph == "R")
    kib = (found.bytes(Order.ZEROTH) + found.bytes(Order.FIRST)) // 1024
    return [found.messages(), kib, sent // 1024, found.query_depth, found.response_depth]


def rows_of(task: Task, runs: Mapping[str, Sequence[Run]], rates: Mapping[str, float]) -> list[list[object]]:
    """Return a row of the table for each rule: rate, errors, difference from backpropagation, angles, costs."""
    base, rows = [run.errors[-1] for run in runs[BASE]], []
    for rule, found in runs.items():
        last = [run.errors[-1] for run in found]
        more = "0" if rule == BASE else interval([one - two for one, two in zip(last, base, strict=True)])
        angles = [
            " / ".join(f"{value:.0f}" for value in np.mean([run.angles[at] for run in found], 0)) for at in (0, -1)
        ]
        rows.append([rule, rates[rule], interval(last), more, *angles, *described(task, rule)])
    return rows


HEADER = [
    *("rule", "rate", "error, %", "beyond backpropagation", "angles at first", "angles at last"),
    *("messages", "KiB", "KiB of R", "depth of Q", "depth of R"),
]


def measure(
    chosen: Sequence[Task], splits: int, rounds: int, tuning: int, points: int = 10
) -> tuple[str, dict[str, Any]]:  # Any: as JSON
    """Tune and train every rule on every task. Returns the text with one table for each task, and the raw figures."""
    text, raw = "", dict[str, Any]()
    for task in chosen:
        rates = {rule: tune(task, rule, tuning) for rule in rules_of(task)}
        runs = {
            rule: [learn(task, rule, rate, seed, rounds, points) for seed in range(splits)]
            for rule, rate in rates.items()
        }
        rows = rows_of(task, runs, rates)
        print(task.name, *rows, sep="\n", flush=True)
        text += f"\n\n{task.name}:\n\n{table(HEADER, rows)}"
        raw[task.name] = {
            rule: {"rate": rates[rule], "runs": [asdict(run) for run in found]} for rule, found in runs.items()
        }
    return text, raw


def draw(raw: Mapping[str, object], path: Path) -> None:
    """Draw the test errors, and the angles of the lowest hidden layer, over the rounds: one column for each task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(raw), figsize=(4 * len(raw), 7), squeeze=False, sharex="col")
    for column, (name, found) in enumerate(raw.items()):
        assert isinstance(found, dict)
        for rule, each in found.items():
            rounds, runs = each["runs"][0]["rounds"], each["runs"]
            axes[0][column].plot(rounds, np.mean([run["errors"] for run in runs], 0), label=rule)
            axes[1][column].plot(rounds, np.mean([[at[0] for at in run["angles"]] for run in runs], 0), label=rule)
        axes[0][column].set(title=name, ylabel="test error, %", yscale="log")
        axes[1][column].set(xlabel="rounds", ylabel="angle of the lowest layer, degrees")
        axes[1][column].axhline(90, color="grey", linewidth=0.5)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


TEXT = """`python -m benchmarks.credit_assignment`, {splits} splits of the data, {rounds} rounds of 64 images.
{machine}.
All rules train the same network: layers of 256 and 128 units; tanh for ten classes, rectifiers for odd or even. Target
propagation and synthetic gradients have further players. REINFORCE adds normal noise to what the hidden layers play,
and a player predicts the cost; its angles are those to the gradient along the path through the noise. Adam's rate is
chosen among {rates} for each rule, on another split. Errors are means over splits with Student's 95 % intervals; the
difference from backpropagation is paired by split. Angles are those between the response of each hidden layer and its
gradient, lowest layer first, on one batch. Costs are those of one round with every player on a worker of its own; an
activation is computed by the layer above it.
Raw figures: `benchmarks/credit_assignment.json`.
"""


def main() -> None:
    """Measure, and write the figures, the picture and this benchmark's section of RESULTS.md."""
    chosen = options(__doc__, splits=10, rounds=2000, tuning=500)
    text, raw = measure(tasks(), **chosen)
    FIGURES.write_text(json.dumps({"settings": chosen, "tasks": raw}, indent=1) + "\n")
    draw(raw, PICTURE)
    head = TEXT.format(**chosen, machine=machine(), rates=", ".join(map(str, RATES)))
    write_section("Credit assignment", f"{head}{text}\n\n![Errors and angles by rounds](credit_assignment.png)")


if __name__ == "__main__":
    main()
