"""Steps per second of Deviator-Actor-Critic, compared with DDPG of Stable-Baselines3; all in one run, in turn.

python -m benchmarks.dac_throughput [--rounds 300] [--repetitions 9]

One step of Pendulum-v1 and one update a round; hidden layers of 400 and 300, batch 256, Adam, Gaussian noise, target
networks that follow with 0.005. It needs Stable-Baselines3 (pip install stable-baselines3).
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import torch

from antiphon.agents import AgentSpecification
from antiphon.coordinator.executor import Executor
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement, spread
from antiphon.deploy.embedded import ray_session
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.pool import Pool
from antiphon.recipes.dac import DacTable, build
from benchmarks.paired import in_turn, ratio
from benchmarks.report import machine, table, write_section

WIDTHS, BATCH, RATE, SOFT, GAMMA, SIGMA, STARTS = [400, 300], 256, 0.001, 0.005, 0.98, 0.1, 300
THEIRS = {1: "Stable-Baselines3, 1 thread", 2: "Stable-Baselines3, 2 threads"}
FUSED = [["Actor", "Nature", "Noise"], ["Critic", "Deviator", "BGE"]]
GRAMMAR = build(
    DacTable(
        envs=1,
        batch=BATCH,
        warmup=STARTS,
        learn_from=STARTS,
        reward_scale=1.0,
        gamma=GAMMA,
        soft=SOFT,
        widths=WIDTHS,
        sigma_start=SIGMA,
        sigma_end=SIGMA,
    )
)


def theirs(threads: int, rounds: int) -> Callable[[], float]:
    """DDPG of Stable-Baselines3, as a function that makes `rounds` steps and returns steps per second."""
    try:
        from stable_baselines3 import DDPG
        from stable_baselines3.common.noise import NormalActionNoise
    except ImportError as error:
        raise SystemExit(
            f"error: benchmarks.dac_throughput compares with Stable-Baselines3, and its import failed: {error}. "
            "Install it: pip install stable-baselines3"
        ) from None
    model: Any = DDPG(  # Any: Stable-Baselines3 is not installed where types are checked
        "MlpPolicy",
        gymnasium.make("Pendulum-v1"),
        learning_rate=RATE,
        buffer_size=100_000,
        learning_starts=STARTS,
        batch_size=BATCH,
        tau=SOFT,
        gamma=GAMMA,
        train_freq=1,
        gradient_steps=1,
        action_noise=NormalActionNoise(np.zeros(1), np.full(1, SIGMA)),
        policy_kwargs={"net_arch": WIDTHS},
        device="cpu",
        seed=0,
    )

    def play(steps: int = rounds) -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        model.learn(steps, reset_num_timesteps=False)
        return steps / (time.perf_counter() - began)

    play(STARTS + 50)
    return play


def ours(executor: Executor, rounds: int) -> Callable[[], float]:
    """An executor as a function that plays rounds and returns rounds per second."""
    executor.play(STARTS + 50)

    def play() -> float:
        began = time.perf_counter()
        executor.play(rounds)
        return rounds / (time.perf_counter() - began)

    return play


def contestants(scope: ExitStack, rounds: int) -> dict[str, Callable[[], float]]:
    """All that is measured, by name."""
    agents, alone, two = AgentSpecification.of("Adam", {"lr": RATE}), spread(GRAMMAR), spread(GRAMMAR, FUSED)
    pool = Pool(len(alone.names) + len(two.names))
    scope.callback(pool.close)

    def on_ray(placement: Placement, name: str) -> Callable[[], float]:
        run = RayExecutor(assign(GRAMMAR, agents, placement=placement), name, pool=pool)
        return ours(scope.enter_context(run), rounds)

    return {
        **{name: theirs(threads, rounds) for threads, name in THEIRS.items()},
        "inline, 1 thread": ours(scope.enter_context(InlineExecutor(assign(GRAMMAR, agents))), rounds),
        f"Ray, {len(two.names)} workers": on_ray(two, "two"),
        f"Ray, {len(alone.names)} workers": on_ray(alone, "spread"),
    }


def measure(rounds: int, repetitions: int) -> str:
    """Measure all in turn. Returns the report."""
    with ray_session(num_cpus=16), ExitStack() as scope:
        found = in_turn(contestants(scope, rounds), repetitions)
    rows = [[name, f"{median(rates):.0f}", *_against(found, rates)] for name, rates in found.items()]
    return table(["who", "steps a second (median)", *(f"ratio to {name}" for name in THEIRS.values())], rows)


def _against(found: dict[str, list[float]], rates: Sequence[float]) -> list[str]:
    return [str(ratio(rates, found[name])) for name in THEIRS.values()]


def main() -> None:
    """Measure, print, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--repetitions", type=int, default=9)
    chosen = parser.parse_args()
    load = os.getloadavg()[0]
    report = measure(chosen.rounds, chosen.repetitions)
    head = (
        f"`python -m benchmarks.dac_throughput --rounds {chosen.rounds} --repetitions {chosen.repetitions}`: "
        f"Deviator-Actor-Critic and DDPG on Pendulum-v1, hidden layers of {WIDTHS}, batch {BATCH}, Adam, one step and "
        f"one update a round, target networks that follow with {SOFT} ({machine()}; load {load:.1f} when it began). "
        "Medians, and in brackets the interval that holds the median of the paired ratios with 95 %. Workers have one "
        "thread each. Both do eleven products of a whole batch with the large layer: DAC in five queries and three "
        "responses; DDPG, which has no Deviator, follows the gradient through its critic. DAC's go through oneDNN, "
        "DDPG's through MKL, as torch chooses; both are float32."
    )
    print(report)
    write_section("Throughput of Deviator-Actor-Critic", f"{head}\n\n{report}")


if __name__ == "__main__":
    main()
