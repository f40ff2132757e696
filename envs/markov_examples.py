"""Small Markov decision processes from the literature, with known values."""

import torch
from torch import Tensor

from antiphon.envs.available_memory import refuse_beyond_memory
from antiphon.envs.markov_process import MarkovProcess
from antiphon.grammars.typed import typed


@typed
def random_walk(states: int = 5, dtype: torch.dtype = torch.float32) -> MarkovProcess:
    """Make a random walk: steps to the left or right with probability 1/2 each; the right end pays 1, the left end 0.

    It starts in the middle and has one action. State k in 1..states has the undiscounted value k / (states + 1) (Sutton
    and Barto 2018, Example 6.2). States 0 and states + 1 are the ends. Features are one-hot vectors, and zero at the
    ends.
    """
    all = states + 2
    # The bytes of transitions and rewards in float64.
    refuse_beyond_memory(f"random_walk: {states} states", 16 * all * all, "Choose fewer states.")
    transitions, rewards = torch.zeros(all, 1, all, dtype=torch.float64), torch.zeros(all, 1, all, dtype=torch.float64)
    for state in range(1, states + 1):
        transitions[state, 0, state - 1] = transitions[state, 0, state + 1] = 0.5
    transitions[0, 0, 0] = transitions[-1, 0, -1] = 1
    rewards[states, 0, states + 1] = 1
    features = torch.eye(all, dtype=dtype)[:, 1:-1]
    return MarkovProcess(transitions, rewards, _only(all, 0, states + 1), _unit(all, (states + 1) // 2), features)


@typed
def boyan_chain(dtype: torch.dtype = torch.float32) -> MarkovProcess:
    """Make a chain of thirteen states with one action. Each move goes one or two states down, from 12 to 0.

    The reward is -3, and -2 from state 1. State k has the undiscounted value -2 k. The four features interpolate
    between states 12, 8, 4 and 0. The value is linear in them, with theta = (-24, -16, -8, 0) (Boyan 1999,
    Least-squares temporal difference learning).
    """
    transitions, rewards = torch.zeros(13, 1, 13, dtype=torch.float64), torch.zeros(13, 1, 13, dtype=torch.float64)
    for state in range(2, 13):
        transitions[state, 0, state - 1] = transitions[state, 0, state - 2] = 0.5
        rewards[state, 0, state - 1] = rewards[state, 0, state - 2] = -3
    transitions[1, 0, 0] = transitions[0, 0, 0] = 1
    rewards[1, 0, 0] = -2
    place = torch.arange(13, dtype=torch.float64)[:, None] / 4
    features = (1 - (place - torch.tensor([3.0, 2.0, 1.0, 0.0])).abs()).clamp(min=0).to(dtype)
    return MarkovProcess(transitions, rewards, _only(13, 0), _unit(13, 12), features)


def baird_star(dtype: torch.dtype = torch.float32) -> MarkovProcess:
    """Make a process of seven states and eight features on which off-policy semi-gradients diverge; all values are 0.

    Action 0 ("dashed") leads to one of the first six states, action 1 ("solid") to the last state. Use it with
    `baird_policies` and gamma = 0.99 (Baird 1995; as in Sutton and Barto 2018, section 11.2).
    """
    transitions = torch.zeros(7, 2, 7, dtype=torch.float64)
    transitions[:, 0, :6] = 1 / 6
    transitions[:, 1, 6] = 1
    features = torch.zeros(7, 8, dtype=dtype)
    features[:6, :6] = 2 * torch.eye(6)
    features[:6, 7], features[6, 6], features[6, 7] = 1, 1, 2
    start = torch.full((7,), 1 / 7, dtype=torch.float64)
    return MarkovProcess(transitions, torch.zeros_like(transitions), torch.zeros(7, dtype=torch.bool), start, features)


def baird_policies() -> tuple[Tensor, Tensor]:
    """Return the behaviour policy (dashed with probability 6/7) and the policy to evaluate (always solid), (7, 2) each.

    They are for the process `baird_star`: "dashed" is action 0, "solid" is action 1.
    """
    return torch.tensor([[6 / 7, 1 / 7]] * 7, dtype=torch.float64), torch.tensor([[0.0, 1.0]] * 7, dtype=torch.float64)


def _only(states: int, *terminal: int) -> Tensor:
    found = torch.zeros(states, dtype=torch.bool)
    found[list(terminal)] = True
    return found


def _unit(states: int, state: int) -> Tensor:
    return torch.eye(states, dtype=torch.float64)[state]
