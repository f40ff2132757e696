"""The names at the top of antiphon: those that the README, the documents and the examples type.

All others are imported from their folders. This is the one list: `__init__.py` and type checkers read it.
"""

from antiphon.checks.check import check_grammar as check_grammar
from antiphon.coordinator.plan.placement import spread as spread
from antiphon.envs import arrays as arrays, dataset as dataset, digits as digits, nature as nature
from antiphon.errors import AntiphonError as AntiphonError
from antiphon.experiments.load import read_experiment as read_experiment
from antiphon.experiments.placements import place as place
from antiphon.grammars.chain_rule import (
    chain_rule as chain_rule,
    cut_at as cut_at,
    cut_into as cut_into,
    freeze_at as freeze_at,
    negate_into as negate_into,
)
from antiphon.grammars.cost import cost as cost
from antiphon.grammars.draft import QueryDraft as QueryDraft
from antiphon.grammars.factory import Factory as Factory
from antiphon.grammars.grammar import Grammar as Grammar
from antiphon.grammars.guarantee import (
    Arrives as Arrives,
    Descent as Descent,
    Estimated as Estimated,
    Exact as Exact,
    Guarantee as Guarantee,
    Insulated as Insulated,
    Learned as Learned,
    PlayerLoss as PlayerLoss,
    SignCorrect as SignCorrect,
    Surrogate as Surrogate,
    exact as exact,
    promised as promised,
)
from antiphon.grammars.library.backprop import backprop as backprop
from antiphon.grammars.library.dac import dac as dac
from antiphon.grammars.library.gan import gan as gan
from antiphon.grammars.library.kickback import kickback as kickback
from antiphon.grammars.library.networks import Dense as Dense, dense_layers as dense_layers
from antiphon.grammars.library.vae import vae as vae
from antiphon.grammars.objective import maximise as maximise, minimise as minimise
from antiphon.grammars.oracle import OracleDeclaration as OracleDeclaration
from antiphon.grammars.types import Batch as Batch, EdgeType as EdgeType
from antiphon.grammars.writing import ResponseDraft as ResponseDraft
from antiphon.launching import agent as agent, launch as launch
from antiphon.oracles import gaussian as gaussian
from antiphon.pictures.drawing import draw as draw, draw_edits as draw_edits
from antiphon.runs.run import run_experiment as run_experiment

__version__: str
__all__: list[str]
