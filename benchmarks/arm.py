"""Inverse dynamics of a simulated arm with seven joints: which torques make it move so."""

import functools
import importlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

mujoco: Any = importlib.import_module("mujoco")  # Any: its names come from a native module, which types do not see

JOINTS = ("shoulder pan", "shoulder lift", "upper arm roll", "elbow", "forearm roll", "wrist flex", "wrist roll")
GRAVITY = -9.81
STEPS = 50
"""Moments of one movement, a fifth of a second apart."""


@functools.cache
def movements(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """States of an arm that swings: (count * STEPS, 21) of angles (rad), velocities (rad/s) and accelerations (rad/s²)
    of the seven joints, and the torques (Nm) that they need, (count * STEPS, 7).

    The arm is that of Gymnasium's Pusher-v5, here under gravity, without contacts and limits. In each movement each
    joint follows two sine waves of up to 0.5 Hz, drawn from `seed`, around the middle of its range; the torques are
    MuJoCo's `mj_inverse`.
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
    """One movement, (STEPS, 3, 7): angles and their first and second derivatives in time."""
    middle, reach = limits.mean(1), (limits[:, 1] - limits[:, 0]) / 2
    frequency = 2 * np.pi * random.uniform(0.05, 0.5, (2, 7))
    phase, share = random.uniform(0, 2 * np.pi, (2, 7)), random.uniform(0, 0.5, (2, 7)) * reach
    angle = frequency * 0.2 * np.arange(STEPS)[:, None, None] + phase
    q = middle + (share * np.sin(angle)).sum(1)
    velocity = (share * frequency * np.cos(angle)).sum(1)
    acceleration = -(share * frequency**2 * np.sin(angle)).sum(1)
    return np.stack([q, velocity, acceleration], 1)
