"""Oracles that play Nature: Gymnasium environments, data sets, bandits, Markov decision processes.

This folder imports grammars and oracles.
"""

from antiphon.envs.adversary import adversary as adversary
from antiphon.envs.bandit import quadratic_bandit as quadratic_bandit
from antiphon.envs.binarized import binarized as binarized
from antiphon.envs.contextual import contextual_bandit as contextual_bandit
from antiphon.envs.dataset import arrays as arrays, dataset as dataset, digits as digits, digits_arrays as digits_arrays
from antiphon.envs.diabetes import diabetes as diabetes, diabetes_arrays as diabetes_arrays
from antiphon.envs.environment import read_spaces as read_spaces
from antiphon.envs.gymnasium import nature as nature
from antiphon.envs.markov import chooser as chooser, markov as markov
from antiphon.envs.markov_examples import (
    baird_policies as baird_policies,
    baird_star as baird_star,
    boyan_chain as boyan_chain,
    random_walk as random_walk,
)
from antiphon.envs.markov_process import MarkovProcess as MarkovProcess
from antiphon.envs.mnist import mnist as mnist, mnist_arrays as mnist_arrays
from antiphon.envs.regulator import regulator as regulator
from antiphon.envs.replay_options import ReplayOptions as ReplayOptions
from antiphon.envs.returns import episode_returns as episode_returns
from antiphon.envs.riccati import Regulator as Regulator
from antiphon.envs.text import text as text, text_streams as text_streams, text_windows as text_windows
