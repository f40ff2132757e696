"""Launch the grammar in grammar.py: choose the optimizers, the number of rounds, and one process or Ray.

python examples/two_losses/train.py --rounds 500 --executor ray
"""

import argparse
from collections.abc import Mapping

from grammar import two_losses

import antiphon
from antiphon.launching import ExecutorName


def train(
    rounds: int = 500, batch: int = 64, width: int = 32, executor: ExecutorName = "inline", seed: int = 0
) -> Mapping[str, float]:
    """Train. Returns the last value of each loss, by name."""
    game = two_losses(antiphon.digits(batch), width=width)
    adam, descent = antiphon.agent("Adam", lr=0.003), antiphon.agent("SGD", lr=0.1, momentum=0.9)
    agents = {"Eye": adam, "Thinker": adam, "Namer": adam, "Sketcher": descent, "Painter": descent}
    with antiphon.launch(game, agents, executor=executor, seed=seed) as players:
        played = players.play(rounds)
    return {name: values[-1] for name, (_, values) in played.losses.items()}


def main() -> None:
    """Read the options, train, and print the losses."""
    options = argparse.ArgumentParser(description="Two losses on handwritten digits.")
    options.add_argument("--rounds", type=int, default=500)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--width", type=int, default=32)
    options.add_argument("--executor", choices=("inline", "ray"), default="inline")
    options.add_argument("--seed", type=int, default=0)
    for name, value in train(**vars(options.parse_args())).items():
        print(f"{name} {value:.4f}")


if __name__ == "__main__":
    main()
