"""Guarantees, measured: what `antiphon check` does, and the suites of the library; may import all folders."""

from antiphon.checks.check import check as check
from antiphon.checks.report import Report as Report
from antiphon.checks.suite import Case as Case
from antiphon.checks.suite import Learning as Learning
from antiphon.checks.suite import Measurement as Measurement
from antiphon.checks.suite import Study as Study
from antiphon.checks.suite import Suite as Suite
