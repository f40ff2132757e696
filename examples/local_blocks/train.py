"""Bits per byte after the same rounds: a transformer under backpropagation, and under the responses of grammar.py.

python examples/local_blocks/train.py --rounds 1000 --blocks 2 --seeds 0 1 2
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from grammar import broadcast, judged, local

import antiphon
from antiphon import Grammar
from antiphon.agents import AgentSpecification
from antiphon.envs import text
from antiphon.experiments.experiment import Experiment

Agents = Mapping[str, AgentSpecification]


def contenders(experiment: Experiment) -> Mapping[str, tuple[Grammar, Agents]]:
    """Grammars and agents by name. All have the players of the library's transformer."""
    t, whole = experiment.table, experiment.build()
    several = judged(text(t.text, batch=t.batch, context=t.context), t.blocks, t.width, t.heads, t.context)
    agents = experiment.agents(whole)
    still = {f"Block{index}": antiphon.agent("SGD", lr=0.0) for index in range(1, t.blocks)}
    return {
        "one loss, backpropagation": (whole, agents),
        "one loss, the lower blocks never move": (whole, {**agents, **still}),
        "one loss, broadcast": (broadcast(whole), agents),
        "a loss for each block, backpropagation": (several, agents),
        "a loss for each block, local": (local(several), agents),
    }


def bits(experiment: Experiment, game: Grammar, agents: Agents, rounds: int, seed: int) -> float:
    """Train. Returns the mean bits per byte of the held-out text, as the last block predicts it."""
    with antiphon.launch(game, agents, seed=seed) as players:
        players.play(rounds)
        states = players.states()
    assert experiment.recipe is not None and experiment.recipe.evaluate is not None  # true for library grammars
    return experiment.recipe.evaluate(experiment.table, experiment.evaluation, experiment.build(), states).mean


def train(rounds: int, seeds: Sequence[int], **sizes: int) -> Mapping[str, list[float]]:
    """Train every contender with every seed. Returns the bits per byte by name. sizes: as in the experiment."""
    experiment = antiphon.read_experiment("transformer", {f"transformer.{key}": each for key, each in sizes.items()})
    found = {}
    for name, (game, agents) in contenders(experiment).items():
        found[name] = [bits(experiment, game, agents, rounds, seed) for seed in seeds]
        print(f"{fmean(found[name]):.3f} {name} ({', '.join(f'{each:.3f}' for each in found[name])})", flush=True)
    return found


def main() -> None:
    """Read the options, and train."""
    options = argparse.ArgumentParser(description="Local responses of a transformer, in bits per byte.")
    options.add_argument("--rounds", type=int, default=1000)
    options.add_argument("--blocks", type=int, default=2)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    torch.set_num_threads(1)
    train(**vars(options.parse_args()))


if __name__ == "__main__":
    main()
