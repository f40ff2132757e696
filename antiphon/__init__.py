"""antiphon: deep learning as a game of players and oracles. Each public name is imported on first use."""

import importlib
from typing import TYPE_CHECKING, Any

from antiphon.public import MODULES

if TYPE_CHECKING:
    from antiphon.agents.arglocopt import Representation as Representation
    from antiphon.agents.arglocopt import arglocmax as arglocmax
    from antiphon.agents.arglocopt import arglocmin as arglocmin
    from antiphon.agents.arglocopt import arglocopt as arglocopt
    from antiphon.agents.specification import AgentSpecification as AgentSpecification
    from antiphon.agents.testing import check_agent as check_agent
    from antiphon.analysis.check import check as check
    from antiphon.checks.check import check_grammar as check_grammar
    from antiphon.coordinator.plan.assignment import assign as assign
    from antiphon.coordinator.plan.placement import Placement as Placement
    from antiphon.coordinator.plan.placement import spread as spread
    from antiphon.coordinator.plan.placement import together as together
    from antiphon.coordinator.regrouping import carried as carried
    from antiphon.coordinator.regrouping import check_regrouping as check_regrouping
    from antiphon.envs import MarkovProcess as MarkovProcess
    from antiphon.envs import Regulator as Regulator
    from antiphon.envs import arrays as arrays
    from antiphon.envs import binarized as binarized
    from antiphon.envs import boyan_chain as boyan_chain
    from antiphon.envs import check_environment as check_environment
    from antiphon.envs import chooser as chooser
    from antiphon.envs import contextual_bandit as contextual_bandit
    from antiphon.envs import dataset as dataset
    from antiphon.envs import diabetes as diabetes
    from antiphon.envs import diabetes_arrays as diabetes_arrays
    from antiphon.envs import digits as digits
    from antiphon.envs import digits_arrays as digits_arrays
    from antiphon.envs import episode_returns as episode_returns
    from antiphon.envs import markov as markov
    from antiphon.envs import mnist as mnist
    from antiphon.envs import mnist_arrays as mnist_arrays
    from antiphon.envs import nature as nature
    from antiphon.envs import quadratic_bandit as quadratic_bandit
    from antiphon.envs import random_walk as random_walk
    from antiphon.envs import read_spaces as read_spaces
    from antiphon.envs import regulator as regulator
    from antiphon.errors import AgentError as AgentError
    from antiphon.errors import AntiphonError as AntiphonError
    from antiphon.errors import BlackBoxError as BlackBoxError
    from antiphon.errors import ClusterError as ClusterError
    from antiphon.errors import CodecError as CodecError
    from antiphon.errors import DeadlineError as DeadlineError
    from antiphon.errors import ExperimentError as ExperimentError
    from antiphon.errors import GrammarError as GrammarError
    from antiphon.errors import OracleError as OracleError
    from antiphon.errors import PlacementError as PlacementError
    from antiphon.errors import ProtocolError as ProtocolError
    from antiphon.errors import RoundError as RoundError
    from antiphon.errors import ShapeError as ShapeError
    from antiphon.errors import TransportError as TransportError
    from antiphon.errors import VersionError as VersionError
    from antiphon.errors import WorkerDied as WorkerDied
    from antiphon.experiments.load import read_experiment as read_experiment
    from antiphon.experiments.placements import place as place
    from antiphon.grammars.brick import Brick as Brick
    from antiphon.grammars.brick import brick as brick
    from antiphon.grammars.brick import cut_out as cut_out
    from antiphon.grammars.cadence import Cadence as Cadence
    from antiphon.grammars.certificate import Certificate as Certificate
    from antiphon.grammars.certificate import Verdict as Verdict
    from antiphon.grammars.certificate import certify as certify
    from antiphon.grammars.chain_rule import Edit as Edit
    from antiphon.grammars.chain_rule import Upstream as Upstream
    from antiphon.grammars.chain_rule import chain_rule as chain_rule
    from antiphon.grammars.chain_rule import cut_at as cut_at
    from antiphon.grammars.chain_rule import cut_into as cut_into
    from antiphon.grammars.chain_rule import negate_into as negate_into
    from antiphon.grammars.cost import Cost as Cost
    from antiphon.grammars.cost import cost as cost
    from antiphon.grammars.draft import QueryDraft as QueryDraft
    from antiphon.grammars.factory import Factory as Factory
    from antiphon.grammars.grammar import Grammar as Grammar
    from antiphon.grammars.guarantee import Arrives as Arrives
    from antiphon.grammars.guarantee import Category as Category
    from antiphon.grammars.guarantee import Descent as Descent
    from antiphon.grammars.guarantee import Estimated as Estimated
    from antiphon.grammars.guarantee import Exact as Exact
    from antiphon.grammars.guarantee import Guarantee as Guarantee
    from antiphon.grammars.guarantee import Insulated as Insulated
    from antiphon.grammars.guarantee import Learned as Learned
    from antiphon.grammars.guarantee import PlayerLoss as PlayerLoss
    from antiphon.grammars.guarantee import Promise as Promise
    from antiphon.grammars.guarantee import SignCorrect as SignCorrect
    from antiphon.grammars.guarantee import Surrogate as Surrogate
    from antiphon.grammars.guarantee import exact as exact
    from antiphon.grammars.guarantee import promised as promised
    from antiphon.grammars.library.backprop import backprop as backprop
    from antiphon.grammars.library.black_box_descent import black_box_descent as black_box_descent
    from antiphon.grammars.library.critic_derivative import critic_derivative as critic_derivative
    from antiphon.grammars.library.dac import dac as dac
    from antiphon.grammars.library.dac_bandit import dac_bandit as dac_bandit
    from antiphon.grammars.library.densities import GaussianDensity as GaussianDensity
    from antiphon.grammars.library.densities import normal_inverse_wishart as normal_inverse_wishart
    from antiphon.grammars.library.gan import gan as gan
    from antiphon.grammars.library.generative import ConvolutionalAnalysis as ConvolutionalAnalysis
    from antiphon.grammars.library.generative import ConvolutionalSynthesis as ConvolutionalSynthesis
    from antiphon.grammars.library.generative import DenseAnalysis as DenseAnalysis
    from antiphon.grammars.library.generative import DenseSynthesis as DenseSynthesis
    from antiphon.grammars.library.generative import Isotropic as Isotropic
    from antiphon.grammars.library.generative import Reparametrized as Reparametrized
    from antiphon.grammars.library.gray_box_descent import gray_box_descent as gray_box_descent
    from antiphon.grammars.library.implicit import implicit_temporal_difference as implicit_temporal_difference
    from antiphon.grammars.library.kickback import kickback as kickback
    from antiphon.grammars.library.kicking import Weights as Weights
    from antiphon.grammars.library.kicking import kicking_layers as kicking_layers
    from antiphon.grammars.library.likelihood import maximum_a_posteriori as maximum_a_posteriori
    from antiphon.grammars.library.likelihood import maximum_likelihood as maximum_likelihood
    from antiphon.grammars.library.networks import Dense as Dense
    from antiphon.grammars.library.networks import Perceptron as Perceptron
    from antiphon.grammars.library.networks import Policy as Policy
    from antiphon.grammars.library.networks import StateAction as StateAction
    from antiphon.grammars.library.networks import convolutional_layers as convolutional_layers
    from antiphon.grammars.library.networks import dense_layers as dense_layers
    from antiphon.grammars.library.penalty import squared_norm as squared_norm
    from antiphon.grammars.library.point import Point as Point
    from antiphon.grammars.library.projected_fixpoint import gtd2 as gtd2
    from antiphon.grammars.library.projected_fixpoint import tdc as tdc
    from antiphon.grammars.library.supervised import supervised as supervised
    from antiphon.grammars.library.temporal_difference import double_residual_gradient as double_residual_gradient
    from antiphon.grammars.library.temporal_difference import residual_gradient as residual_gradient
    from antiphon.grammars.library.temporal_difference import semi_gradient as semi_gradient
    from antiphon.grammars.library.temporal_difference import temporal_difference as temporal_difference
    from antiphon.grammars.library.vae import vae as vae
    from antiphon.grammars.maps import add as add
    from antiphon.grammars.maps import fixed_matrix as fixed_matrix
    from antiphon.grammars.maps import negate as negate
    from antiphon.grammars.maps import over_batch as over_batch
    from antiphon.grammars.maps import scale as scale
    from antiphon.grammars.objective import Direction as Direction
    from antiphon.grammars.objective import maximise as maximise
    from antiphon.grammars.objective import minimise as minimise
    from antiphon.grammars.oracle import Memoryless as Memoryless
    from antiphon.grammars.oracle import OracleDeclaration as OracleDeclaration
    from antiphon.grammars.oracle import Question as Question
    from antiphon.grammars.partitions import Grid as Grid
    from antiphon.grammars.partitions import Itself as Itself
    from antiphon.grammars.partitions import Largest as Largest
    from antiphon.grammars.partitions import Nearest as Nearest
    from antiphon.grammars.partitions import Threshold as Threshold
    from antiphon.grammars.query import QueryGraph as QueryGraph
    from antiphon.grammars.regrouping import Regrouping as Regrouping
    from antiphon.grammars.regrouping import children as children
    from antiphon.grammars.regrouping import coarsen as coarsen
    from antiphon.grammars.regrouping import refine as refine
    from antiphon.grammars.regrouping import units as units
    from antiphon.grammars.response import ResponseGraph as ResponseGraph
    from antiphon.grammars.semantics import Semantics as Semantics
    from antiphon.grammars.semantics import agreement as agreement
    from antiphon.grammars.semantics import semantics as semantics
    from antiphon.grammars.types import Batch as Batch
    from antiphon.grammars.types import EdgeType as EdgeType
    from antiphon.grammars.variational import bernoulli as bernoulli
    from antiphon.grammars.variational import isotropic as isotropic
    from antiphon.grammars.variational import standard_normal as standard_normal
    from antiphon.grammars.writing import Message as Message
    from antiphon.grammars.writing import ResponseDraft as ResponseDraft
    from antiphon.launching import ExecutorName as ExecutorName
    from antiphon.launching import TransportName as TransportName
    from antiphon.launching import agent as agent
    from antiphon.launching import launch as launch
    from antiphon.oracles import Annealing as Annealing
    from antiphon.oracles import black_box as black_box
    from antiphon.oracles import check_oracle as check_oracle
    from antiphon.oracles import coordinates as coordinates
    from antiphon.oracles import gaussian as gaussian
    from antiphon.oracles import gray_box as gray_box
    from antiphon.oracles import rademacher as rademacher
    from antiphon.oracles import uniform as uniform
    from antiphon.pictures.drawing import draw as draw
    from antiphon.pictures.drawing import draw_edits as draw_edits
    from antiphon.runs.run import run_experiment as run_experiment

__version__ = "0.1.0"

_HOME = {name: module for module, names in MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:  # Any: public names are of many kinds; type checkers read the imports above
    if name not in _HOME:
        raise AttributeError(f"module 'antiphon' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
