"""Steps per second of Deviator-Actor-Critic, compared with DDPG of Stable-Baselines3. All are measured in one run, in
turn.

python -m benchmarks.dac_throughput [--rounds 300] [--repetitions 9]

One step of Pendulum-v1 and one update a round; hidden layers of 400 and 300, batch 256, Adam, Gaussian noise, target
networks that follow with 0.005. It needs Stable-Baselines3 (pip install stable-baselines3).

Two more tables compare environment steps that overlap with learning to steps that do not: in one process, and on two
workers with acting that may use older parameters. Each step of their environment only waits, without using the
processor.
"""

import argparse
import importlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, final

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
from antiphon.grammars import Grammar
from antiphon.recipes.dac import DacTable, build
from benchmarks.paired import Times, in_turn, paired_ratio
from benchmarks.report import machine, table, write_section

WIDTHS, BATCH, RATE, SOFT, GAMMA, SIGMA, STARTS = [400, 300], 256, 0.001, 0.005, 0.98, 0.1, 300
THEIRS = {1: "Stable-Baselines3, 1 thread", 2: "Stable-Baselines3, 2 threads"}
FUSED = [["Actor", "Nature", "Noise"], ["Critic", "Deviator", "BGE"]]
APART = [["Nature", "Noise"], ["Actor", "Critic", "Deviator", "BGE"]]
AGENTS = AgentSpecification.of("Adam", {"lr": RATE})
COPIES, PERIOD = 4, 0.004


def game(**changes: Any) -> Grammar:  # Any: values of the experiment's table
    """Make a Deviator-Actor-Critic grammar on one copy of Pendulum-v1 that acts and learns in every round.

    changes: settings of the experiment's table that replace those of the benchmark.
    """
    same = {"batch": BATCH, "warmup": STARTS, "learn_from": STARTS, "gamma": GAMMA, "soft": SOFT, "widths": WIDTHS}
    noise = {"sigma_start": SIGMA, "sigma_end": SIGMA, "reward_scale": 1.0}
    return build(DacTable.model_validate({"envs": 1, "act_every": 1, **same, **noise, **changes}))


@final
class Device(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A pendulum whose steps take time, like those of a robot: each step waits PERIOD seconds without using the
    processor.
    """

    def __init__(self) -> None:
        super().__init__(gymnasium.make("Pendulum-v1"))

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # Any: an environment's
        """Wait PERIOD seconds, then make one step of the pendulum."""
        time.sleep(PERIOD)
        return self.env.step(action)


def theirs(threads: int, rounds: int) -> Callable[[], float]:
    """Return a function that trains DDPG of Stable-Baselines3 for `rounds` steps, and returns steps per second."""
    try:
        ddpg = importlib.import_module("stable_baselines3").DDPG
        noise = importlib.import_module("stable_baselines3.common.noise").NormalActionNoise
    except ImportError as error:
        raise SystemExit(
            f"error: benchmarks.dac_throughput compares with Stable-Baselines3, and its import failed: {error}. "
            "Install it: pip install stable-baselines3"
        ) from None
    model = ddpg(
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
        action_noise=noise(np.zeros(1), np.full(1, SIGMA)),
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
    """Return a function that plays `rounds` rounds with this executor, and returns rounds per second."""
    executor.play(STARTS + 50)

    def play() -> float:
        began = time.perf_counter()
        executor.play(rounds)
        return rounds / (time.perf_counter() - began)

    return play


def contestants(scope: ExitStack, rounds: int) -> dict[str, Callable[[], float]]:
    """Return everything that is measured, by name: functions that train, and return rounds per second."""
    grammar = game()
    alone, two = spread(grammar), spread(grammar, FUSED)
    pool = Pool(len(alone.names) + len(two.names))
    scope.callback(pool.close)

    def on_ray(placement: Placement, name: str) -> Callable[[], float]:
        run = RayExecutor(assign(grammar, AGENTS, placement=placement), name, pool=pool)
        return ours(scope.enter_context(run), rounds)

    return {
        **{name: theirs(threads, rounds) for threads, name in THEIRS.items()},
        "inline, 1 thread": ours(scope.enter_context(InlineExecutor(assign(grammar, AGENTS))), rounds),
        f"Ray, {len(two.names)} workers": on_ray(two, "two"),
        f"Ray, {len(alone.names)} workers": on_ray(alone, "spread"),
    }


def overlapping(scope: ExitStack, rounds: int) -> dict[str, Callable[[], float]]:
    """Return the ways to step several copies of `Device` in one process, by name: functions that return rounds per
    second.
    """

    def inline(**changes: Any) -> Callable[[], float]:  # Any: values of the experiment's table
        grammar = game(environment="Device-v0", envs=COPIES, **changes)
        return ours(scope.enter_context(InlineExecutor(assign(grammar, AGENTS))), rounds)

    return {
        "one after the other": inline(),
        "in processes": inline(vectorization="async"),
        "in processes, overlapping": inline(vectorization="async", overlap=True),
    }


def acting(scope: ExitStack, rounds: int) -> dict[str, Callable[[], float]]:
    """Return two workers that play one copy of `Device`, with acting by the newest and by older parameters, by name.

    The values are functions that return rounds per second.
    """
    grammar, pool = game(environment="benchmarks.dac_throughput:Device"), Pool(8)
    scope.callback(pool.close)
    found = {}
    for where, groups in (("environment and Actor together", FUSED), ("environment apart", APART)):
        for age in (0, 1):
            assignment = assign(grammar, AGENTS, placement=spread(grammar, groups), staleness={"act": age})
            run = RayExecutor(assignment, f"acting-{len(found)}", pool=pool)
            found[f"{where}, acting {age} rounds old"] = ours(scope.enter_context(run), rounds)
    return found


def measure(rounds: int, repetitions: int) -> str:
    """Measure everything in turn, and return the report as text."""
    gymnasium.register("Device-v0", "benchmarks.dac_throughput:Device")
    with ray_session(num_cpus=16), ExitStack() as scope:
        old = in_turn(acting(scope, rounds // 3), repetitions)
        ahead = _rates(old, list(old)[::2])
    with ray_session(num_cpus=16), ExitStack() as scope:
        both = _rates(in_turn(contestants(scope, rounds), repetitions), list(THEIRS.values()))
    with ExitStack() as scope:
        steps = overlapping(scope, rounds // 3)
        late = _rates(in_turn(steps, repetitions), list(steps)[:2])
    waiting = f"{COPIES} copies of a pendulum whose step waits {PERIOD * 1e3:g} ms without the processor, inline:"
    workers = "One copy of this pendulum, on two workers of Ray, with acting that may use older parameters:"
    return f"{both}\n\n{waiting}\n\n{late}\n\n{workers}\n\n{ahead}"


def _rates(found: Times, bases: Sequence[str]) -> str:
    rows = [
        [name, f"{median(rates):.0f}", *(str(paired_ratio(rates, found[base])) for base in bases)]
        for name, rates in found.items()
    ]
    return table(["who", "rounds a second (median)", *(f"ratio to {base}" for base in bases)], rows)


def main() -> None:
    """Measure, print the report, and write this benchmark's section of RESULTS.md."""
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
        "Ratios are geometric means of paired ratios, with their 95 % intervals. Workers have one "
        "thread each. Both do eleven products of a whole batch with the large layer: DAC in five queries and three "
        "responses; DDPG, which has no Deviator, follows the gradient through its critic. DAC's go through oneDNN, "
        "DDPG's through MKL, as torch chooses; both are float32."
    )
    print(report)
    write_section("Throughput of Deviator-Actor-Critic", f"{head}\n\n{report}")


if __name__ == "__main__":
    main()
