"""Small Markov decision processes of the literature, whose values are known."""

import torch
from torch import Tensor

from antiphon.envs.markov_process import MarkovProcess
from antiphon.envs.memory import refuse_beyond_memory
from antiphon.grammars.typed import typed


@typed
def random_walk(states: int = 5, dtype: torch.dtype = torch.float32) -> MarkovProcess:
    """A walk to the left or the right, each with probability 1/2, from the middle; the right end pays 1, the left 0.

    One action. State k of 1..states has the value k / (states + 1), undiscounted (Sutton and Barto 2018, Example 6.2).
    Indices 0 and states + 1 are the ends. Features: a unit vector per state, nothing at the ends.
    """
    all = states + 2
    # Transitions and rewards, in float64.
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
    """Thirteen states in a chain, one or two steps down at -3 each, the last at -2; features interpolate four of them.

    One action. State k has the value -2 k, undiscounted, which is linear in the features: theta = (-24, -16, -8, 0)
    (Boyan 1999, Least-squares temporal difference learning).
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
    """Seven states and eight features, on which semi-gradients diverge off policy although every value is 0.

    Action 0, dashed, leads to one of the first six; action 1, solid, to the last. `baird_policies` tells who takes
    which; gamma is 0.99 (Baird 1995; as in Sutton and Barto 2018, section 11.2).
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
    """The behaviour, dashed six times in seven, and the policy that is evaluated, always solid: (7, 2) each."""
    return torch.tensor([[6 / 7, 1 / 7]] * 7, dtype=torch.float64), torch.tensor([[0.0, 1.0]] * 7, dtype=torch.float64)


def _only(states: int, *terminal: int) -> Tensor:
    found = torch.zeros(states, dtype=torch.bool)
    found[list(terminal)] = True
    return found


def _unit(states: int, state: int) -> Tensor:
    return torch.eye(states, dtype=torch.float64)[state]
