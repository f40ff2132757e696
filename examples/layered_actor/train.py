"""Launch the grammar in grammar.py on Pendulum: in one process, or on Ray with an actor for each layer.

python examples/layered_actor/train.py --rounds 6000 --executor ray

After training, `coarsen` joins the layers into one player, a policy that `episode_returns` can evaluate.
"""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from grammar import layered_dac
from torch import nn

import antiphon
from antiphon import Grammar
from antiphon.coordinator.regrouping import carried
from antiphon.envs import episode_returns
from antiphon.grammars.oracle import State
from antiphon.grammars.regrouping import coarsen
from antiphon.launching import ExecutorName
from antiphon.oracles import Annealing


def game(rounds: int, batch: int, widths: Sequence[int], warmup: int, envs: int = 8) -> Grammar:
    """The grammar on 8 copies of Pendulum, which make a step every 8 rounds. Noise falls in the first two thirds."""
    world = antiphon.nature("Pendulum-v1", envs=envs, batch=batch, warmup=warmup, reward_scale=8.0)
    sigma = Annealing(0.4, 0.1, max(1, 2 * rounds // 3))
    wind = antiphon.gaussian((1,), batch=envs, symbol="envs", scale=sigma)
    return layered_dac(world, wind, 3, 1, widths, act_every=envs, learn_from=warmup)


def train(
    rounds: int = 6000,
    batch: int = 128,
    widths: Sequence[int] = (64, 64),
    warmup: int = 500,
    executor: ExecutorName = "inline",
    seed: int = 0,
) -> tuple[Grammar, Mapping[str, State]]:
    """Train. Returns the grammar and the final state of each player, clone and oracle."""
    layered = game(rounds, batch, widths, warmup)
    slow, fast = antiphon.agent("Adam", lr=5e-4), antiphon.agent("Adam", lr=1e-3)
    agents = {each.name: slow if each.name.startswith("Actor.") else fast for each in layered.query.players}
    with antiphon.launch(layered, agents, executor=executor, seed=seed) as play:
        play.play(rounds)
        return layered, play.states()


def policy(layered: Grammar, states: Mapping[str, State]) -> nn.Module:
    """Actor as one module with the trained parameters of its layers."""
    whole = coarsen(layered, "Actor", "Actor")
    with antiphon.launch(whole.grammar) as play:
        learned = carried(whole, states, play.states())["Actor"]["parameters"]
    actor: nn.Module = whole.grammar.query.player_by_name["Actor"].factory()
    actor.load_state_dict(learned)
    return actor.eval()


def main() -> None:
    """Train, and print the returns of the untrained and of the trained policy, without noise."""
    options = argparse.ArgumentParser(description="DAC with an Actor of layer players, on Pendulum.")
    options.add_argument("--rounds", type=int, default=6000)
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--widths", type=int, nargs="+", default=[64, 64])
    options.add_argument("--executor", choices=("inline", "ray"), default="inline")
    options.add_argument("--seed", type=int, default=0)
    chosen = vars(options.parse_args())
    torch.set_num_threads(1)
    for name, rounds in (("untrained", 0), ("trained", chosen.pop("rounds"))):
        actor = policy(*train(rounds=rounds, **chosen))
        print(f"return, {name}: {fmean(episode_returns('Pendulum-v1', actor, range(1000, 1010))):.1f}")


if __name__ == "__main__":
    main()
