"""A suite for each grammar of the library, a file each: `antiphon.checks.suites.<name>:SUITE`."""

import importlib
from collections.abc import Mapping

from antiphon.checks.suite import Suite

_MODULES: Mapping[str, str] = {
    "backprop": "backprop",
    "black-box-descent": "black_box_descent",
    "critic-derivative": "critic_derivative",
    "dac": "dac",
    "dac-bandit": "dac_bandit",
    "gan": "gan",
    "gray-box-descent": "gray_box_descent",
    "kickback": "kickback",
    "likelihood": "likelihood",
    "supervised": "supervised",
    "temporal-difference": "temporal_difference",
    "vae": "vae",
}
"""By grammar, the module of its suite. Imported when asked for: `--help` answers at once."""

NAMES = tuple(_MODULES)


def suite_of(name: str) -> Suite:
    """The suite of a grammar of the library. Raises KeyError for another name."""
    return importlib.import_module(f"antiphon.checks.suites.{_MODULES[name]}").SUITE
