"""Fine- and coarse-graining (essay, Remark 3): divide or merge the players of a grammar; gradients stay the same.

This folder imports `antiphon.grammars` only.
"""

from antiphon.grammars.regrouping.coarsen import coarsen as coarsen
from antiphon.grammars.regrouping.composite import Composite as Composite
from antiphon.grammars.regrouping.correspondence import Regrouping as Regrouping, Span as Span
from antiphon.grammars.regrouping.parts import Child as Child, Unit as Unit, children as children, units as units
from antiphon.grammars.regrouping.refine import refine as refine
