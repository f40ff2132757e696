"""Nature: environments of Gymnasium, data sets, bandits; imports grammars and oracles."""

from antiphon.envs.bandit import quadratic_bandit as quadratic_bandit
from antiphon.envs.contextual import contextual_bandit as contextual_bandit
from antiphon.envs.dataset import arrays as arrays
from antiphon.envs.dataset import dataset as dataset
from antiphon.envs.dataset import digits as digits
from antiphon.envs.dataset import digits_arrays as digits_arrays
from antiphon.envs.evaluation import episode_returns as episode_returns
from antiphon.envs.gymnasium import nature as nature
from antiphon.envs.regulator import regulator as regulator
from antiphon.envs.riccati import Regulator as Regulator
