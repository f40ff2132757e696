"""Grammars as values: graphs, the chain rule, guarantees, and the mathematics of losses; imports torch, not Ray."""

from antiphon.grammars.brick import Brick as Brick, brick as brick, cut_out as cut_out
from antiphon.grammars.cadence import Cadence as Cadence
from antiphon.grammars.certificate import Certificate as Certificate, Verdict as Verdict, certify as certify
from antiphon.grammars.chain_rule import (
    Delivery as Delivery,
    DeliveryEdit as DeliveryEdit,
    Edit as Edit,
    Upstream as Upstream,
    chain_rule as chain_rule,
    cut_at as cut_at,
    cut_from as cut_from,
    cut_into as cut_into,
    freeze_at as freeze_at,
    negate_into as negate_into,
    truncated as truncated,
)
from antiphon.grammars.cost import Cost as Cost, cost as cost
from antiphon.grammars.draft import QueryDraft as QueryDraft, Value as Value
from antiphon.grammars.factory import Factory as Factory
from antiphon.grammars.grammar import Grammar as Grammar
from antiphon.grammars.guarantee import (
    UNKNOWN as UNKNOWN,
    Aligns as Aligns,
    Arrives as Arrives,
    Category as Category,
    Descent as Descent,
    Estimated as Estimated,
    Exact as Exact,
    Guarantee as Guarantee,
    Insulated as Insulated,
    Learned as Learned,
    Loss as Loss,
    PlayerLoss as PlayerLoss,
    Promise as Promise,
    SignCorrect as SignCorrect,
    Surrogate as Surrogate,
    exact as exact,
    promised as promised,
)
from antiphon.grammars.maps import (
    Linearity as Linearity,
    fixed_matrix as fixed_matrix,
    linear as linear,
    negate as negate,
    over_batch as over_batch,
    scale as scale,
)
from antiphon.grammars.objective import (
    Direction as Direction,
    Objective as Objective,
    Term as Term,
    maximise as maximise,
    minimise as minimise,
)
from antiphon.grammars.oracle import (
    Box as Box,
    Memoryless as Memoryless,
    Oracle as Oracle,
    OracleDeclaration as OracleDeclaration,
    Question as Question,
    State as State,
)
from antiphon.grammars.partitions import (
    Grid as Grid,
    Itself as Itself,
    Largest as Largest,
    Nearest as Nearest,
    Threshold as Threshold,
)
from antiphon.grammars.query import Kind as Kind, Port as Port, QueryGraph as QueryGraph
from antiphon.grammars.response import ResponseGraph as ResponseGraph
from antiphon.grammars.scan import Scan as Scan, scan as scan
from antiphon.grammars.score_function import score as score
from antiphon.grammars.second_order import (
    gradient as gradient,
    parameters_of as parameters_of,
    played_at as played_at,
)
from antiphon.grammars.semantics import Semantics as Semantics, agreement as agreement, semantics as semantics
from antiphon.grammars.typed import typed as typed
from antiphon.grammars.types import Batch as Batch, EdgeType as EdgeType, Order as Order
from antiphon.grammars.variational import (
    bernoulli as bernoulli,
    isotropic as isotropic,
    standard_normal as standard_normal,
)
from antiphon.grammars.writing import Message as Message, ResponseDraft as ResponseDraft
