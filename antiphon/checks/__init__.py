"""Guarantees, measured: how a promise is measured, and the suites of the library."""

from antiphon.checks.check import check_grammar as check_grammar
from antiphon.checks.report import Report as Report
from antiphon.checks.suite import Case as Case
from antiphon.checks.suite import Learning as Learning
from antiphon.checks.suite import Measurement as Measurement
from antiphon.checks.suite import Study as Study
from antiphon.checks.suite import Suite as Suite
