"""Inverse dynamics of a simulated arm with seven joints: the torques that a movement needs."""

import functools
import importlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

mujoco: Any = importlib.import_module("mujoco")  # Any: its names come from a native module without types

JOINTS = ("shoulder pan", "shoulder lift", "upper arm roll", "elbow", "forearm roll", "wrist flex", "wrist roll")
GRAVITY = -9.81
STEPS = 50
"""Number of samples of one movement, 0.2 s apart."""


@functools.cache
def movements(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Simulate `count` movements. Returns the states (count * STEPS, 21) and their torques (count * STEPS, 7).

    A state holds the angles (rad), velocities (rad/s) and accelerations (rad/s²) of the seven joints; torques are in
    Nm. The arm is that of Gymnasium's Pusher-v5, with gravity and without contacts and limits. Each joint follows the
    sum of two sine waves of up to 0.5 Hz around the middle of its range, drawn from `seed`. MuJoCo's `mj_inverse`
    computes the torques.
    """
    model = _arm()
    data = mujoco.MjData(model)
    random = np.random.default_rng(seed)
    states, torques = [], []
    for _ in range(count):
        for motion in _swing(random, model.jnt_range[:7]):
            data.qpos[:7], data.qvel[:7], data.qacc[:7] = motion
            mujoco.mj_inverse(model, data)
            states.append(motion.reshape(-1))
            torques.append(data.qfrc_inverse[:7].copy())
    return np.array(states), np.array(torques)


def _arm() -> Any:  # Any: a model of MuJoCo
    assets = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    model = mujoco.MjModel.from_xml_path(str(assets / "pusher_v5.xml"))
    model.opt.gravity[2] = GRAVITY
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    return model


def _swing(random: np.random.Generator, limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw one movement, (STEPS, 3, 7): the angles of the seven joints and their first and second time derivatives."""
    middle, reach = limits.mean(1), (limits[:, 1] - limits[:, 0]) / 2
    frequency = 2 * np.pi * random.uniform(0.05, 0.5, (2, 7))
    phase, share = random.uniform(0, 2 * np.pi, (2, 7)), random.uniform(0, 0.5, (2, 7)) * reach
    angle = frequency * 0.2 * np.arange(STEPS)[:, None, None] + phase
    q = middle + (share * np.sin(angle)).sum(1)
    velocity = (share * frequency * np.cos(angle)).sum(1)
    acceleration = -(share * frequency**2 * np.sin(angle)).sum(1)
    return np.stack([q, velocity, acceleration], 1)
