"""antiphon: deep learning as a game of players and oracles. Public names, each imported when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antiphon.agents.specification import AgentSpecification as AgentSpecification
    from antiphon.agents.testing import check_agent as check_agent
    from antiphon.checks.check import check as check
    from antiphon.checks.check import check_grammar as check_grammar
    from antiphon.coordinator.assignment import assign as assign
    from antiphon.coordinator.placement import Placement as Placement
    from antiphon.coordinator.placement import spread as spread
    from antiphon.coordinator.placement import together as together
    from antiphon.envs import Regulator as Regulator
    from antiphon.envs import arrays as arrays
    from antiphon.envs import contextual_bandit as contextual_bandit
    from antiphon.envs import dataset as dataset
    from antiphon.envs import digits as digits
    from antiphon.envs import digits_arrays as digits_arrays
    from antiphon.envs import episode_returns as episode_returns
    from antiphon.envs import nature as nature
    from antiphon.envs import quadratic_bandit as quadratic_bandit
    from antiphon.envs import regulator as regulator
    from antiphon.errors import AgentError as AgentError
    from antiphon.errors import AntiphonError as AntiphonError
    from antiphon.errors import BlackBoxError as BlackBoxError
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
    from antiphon.errors import WorkerDied as WorkerDied
    from antiphon.grammars.cadence import Cadence as Cadence
    from antiphon.grammars.chain_rule import Edit as Edit
    from antiphon.grammars.chain_rule import Upstream as Upstream
    from antiphon.grammars.chain_rule import chain_rule as chain_rule
    from antiphon.grammars.chain_rule import cut_into as cut_into
    from antiphon.grammars.chain_rule import negate_into as negate_into
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
    from antiphon.grammars.library.critic_derivative import critic_derivative as critic_derivative
    from antiphon.grammars.library.dac import dac as dac
    from antiphon.grammars.library.dac_bandit import dac_bandit as dac_bandit
    from antiphon.grammars.library.networks import Dense as Dense
    from antiphon.grammars.library.networks import Policy as Policy
    from antiphon.grammars.library.networks import StateAction as StateAction
    from antiphon.grammars.library.networks import convolutional_layers as convolutional_layers
    from antiphon.grammars.library.networks import dense_layers as dense_layers
    from antiphon.grammars.maps import add as add
    from antiphon.grammars.maps import fixed_matrix as fixed_matrix
    from antiphon.grammars.maps import negate as negate
    from antiphon.grammars.maps import over_batch as over_batch
    from antiphon.grammars.maps import scale as scale
    from antiphon.grammars.objective import maximise as maximise
    from antiphon.grammars.objective import minimise as minimise
    from antiphon.grammars.oracle import OracleDeclaration as OracleDeclaration
    from antiphon.grammars.oracle import Question as Question
    from antiphon.grammars.query import QueryGraph as QueryGraph
    from antiphon.grammars.response import ResponseGraph as ResponseGraph
    from antiphon.grammars.types import Batch as Batch
    from antiphon.grammars.types import EdgeType as EdgeType
    from antiphon.grammars.writing import Message as Message
    from antiphon.grammars.writing import ResponseDraft as ResponseDraft
    from antiphon.launching import ExecutorName as ExecutorName
    from antiphon.launching import TransportName as TransportName
    from antiphon.launching import agent as agent
    from antiphon.launching import launch as launch
    from antiphon.oracles import Annealing as Annealing
    from antiphon.oracles import black_box as black_box
    from antiphon.oracles import check_oracle as check_oracle
    from antiphon.oracles import gaussian as gaussian
    from antiphon.oracles import gray_box as gray_box
    from antiphon.oracles import uniform as uniform
    from antiphon.reading import read_experiment as read_experiment
    from antiphon.run import run_experiment as run_experiment

__version__ = "0.1.0"

_MODULES = {
    "antiphon.agents.specification": ("AgentSpecification",),
    "antiphon.agents.testing": ("check_agent",),
    "antiphon.checks.check": ("check", "check_grammar"),
    "antiphon.coordinator.assignment": ("assign",),
    "antiphon.coordinator.placement": ("Placement", "spread", "together"),
    "antiphon.envs": (
        "Regulator",
        "arrays",
        "contextual_bandit",
        "dataset",
        "digits",
        "digits_arrays",
        "episode_returns",
        "nature",
        "quadratic_bandit",
        "regulator",
    ),
    "antiphon.errors": (
        "AgentError",
        "AntiphonError",
        "BlackBoxError",
        "CodecError",
        "DeadlineError",
        "ExperimentError",
        "GrammarError",
        "OracleError",
        "PlacementError",
        "ProtocolError",
        "RoundError",
        "ShapeError",
        "TransportError",
        "WorkerDied",
    ),
    "antiphon.grammars.cadence": ("Cadence",),
    "antiphon.grammars.chain_rule": ("Edit", "Upstream", "chain_rule", "cut_into", "negate_into"),
    "antiphon.grammars.draft": ("QueryDraft",),
    "antiphon.grammars.factory": ("Factory",),
    "antiphon.grammars.grammar": ("Grammar",),
    "antiphon.grammars.guarantee": (
        "Arrives",
        "Category",
        "Descent",
        "Estimated",
        "Exact",
        "Guarantee",
        "Insulated",
        "Learned",
        "PlayerLoss",
        "Promise",
        "SignCorrect",
        "Surrogate",
        "exact",
        "promised",
    ),
    "antiphon.grammars.library.backprop": ("backprop",),
    "antiphon.grammars.library.critic_derivative": ("critic_derivative",),
    "antiphon.grammars.library.dac": ("dac",),
    "antiphon.grammars.library.dac_bandit": ("dac_bandit",),
    "antiphon.grammars.library.networks": ("Dense", "Policy", "StateAction", "convolutional_layers", "dense_layers"),
    "antiphon.grammars.maps": ("add", "fixed_matrix", "negate", "over_batch", "scale"),
    "antiphon.grammars.objective": ("maximise", "minimise"),
    "antiphon.grammars.oracle": ("OracleDeclaration", "Question"),
    "antiphon.grammars.query": ("QueryGraph",),
    "antiphon.grammars.response": ("ResponseGraph",),
    "antiphon.grammars.types": ("Batch", "EdgeType"),
    "antiphon.grammars.writing": ("Message", "ResponseDraft"),
    "antiphon.launching": ("ExecutorName", "TransportName", "agent", "launch"),
    "antiphon.oracles": ("Annealing", "black_box", "check_oracle", "gaussian", "gray_box", "uniform"),
    "antiphon.reading": ("read_experiment",),
    "antiphon.run": ("run_experiment",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:  # Any: public names are of many kinds; type checkers read the imports above
    if name not in _HOME:
        raise AttributeError(f"module 'antiphon' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
