"""Test whether grammars keep their promises. Grammars are given by name: of the library, of plugins, of the user."""

import inspect
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pkgutil import resolve_name

import torch

from antiphon.checks.check import OWN_INSTANCES, check_suite
from antiphon.checks.report import Report, Row
from antiphon.checks.staleness import check_staleness
from antiphon.checks.suite import Case, Learning, Suite
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.errors import ExperimentError
from antiphon.experiments.experiment import own_grammar
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.typed import typed
from antiphon.plugins import GRAMMARS, find, nearest
from antiphon.recipes import known, recipe_of


@typed
def check(
    *names: str,
    seed: Natural = 0,
    processes: Count = 1,
    instances: Count | None = None,
    staleness: Staleness = 0,
) -> Report:
    """Measure whether grammars keep their promises (for example: every player receives its exact gradient).

    names: of grammars of the library or of plugins, or `module:factory` for a user's function that makes a grammar.
    A grammar of the library is tested on random grammars of its test suite. A grammar of a plugin or user is tested
    with ten seeds. If its function takes an argument `seed`, each seed makes another grammar. Otherwise the seed
    changes the initial parameters and the random draws of the oracles.
    seed: the first seed; the next seeds are seed + 1, seed + 2, and so on.
    processes: number of grammars that are tested at the same time.
    instances: number of seeds for each case of a test suite; None takes the number that the case declares.
    staleness: if not 0, measure games whose queries use parameters of earlier rounds: the age of these parameters, and
    whether exact responses are the gradients at them. The other measurements are then left out.
    Raises ExperimentError for an unknown name, GrammarError for a grammar that has no promise or cannot be run.
    """
    began = time.perf_counter()
    for name in names:
        _refuse_unknown(name)
    jobs = [(name, seed, instances, staleness) for name in names]
    if processes == 1 or len(jobs) <= 1:
        found = [_check(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_check, *zip(*jobs, strict=True)))
    return Report(tuple(row for rows in found for row in rows), time.perf_counter() - began)


def _check(name: str, seed: int, instances: int | None, staleness: Staleness) -> tuple[Row, ...]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # instances are small, and other processes need the other cores
    try:
        if staleness:
            return check_staleness(suite_of(name), staleness, seed, instances)
        return check_suite(suite_of(name), seed, instances)
    finally:
        torch.set_num_threads(threads)


def parsed_staleness(text: str) -> Staleness:
    """Return the staleness from the text of a command line: a number of rounds, or `PASS=N` for one pass.

    Several passes are separated by commas. Raises ExperimentError for any other text.

    >>> parsed_staleness("2"), parsed_staleness("act=1,learn=0")
    (2, {'act': 1, 'learn': 0})
    """
    if text.isdecimal():
        return int(text)
    pairs = [each.rpartition("=") for each in text.split(",")]
    if not all(name and age.isdecimal() for name, _, age in pairs):
        raise ExperimentError(
            f"staleness takes a number of rounds, or PASS=N, and {text!r} arrived. Write it like --staleness 1, or "
            "--staleness act=1."
        )
    return {name: int(age) for name, _, age in pairs}


def suite_of(name: str) -> Suite:
    """Return the test suite of a grammar. If it has none, make a suite that tests the grammar with a few seeds."""
    recipe = recipe_of(name)
    if recipe is not None and recipe.suite:
        return resolve_name(recipe.suite)
    return Suite(name, (Case("", _own(name), OWN_INSTANCES, Learning()),))


def _own(name: str) -> Callable[[int], Grammar]:
    if recipe_of(name) is not None:
        return lambda _: read_experiment(name).build()
    seeded = "seed" in inspect.signature(find("grammar", name, GRAMMARS)).parameters
    return lambda seed: own_grammar(name, {"seed": seed} if seeded else {})


def _refuse_unknown(name: str) -> None:
    if name.endswith(".toml"):
        raise ExperimentError(
            f"{name!r} is an experiment, which is run and not checked; expected a grammar. Check the one that its line "
            "'grammar = ' names."
        )
    if name.endswith(".py"):
        raise ExperimentError(
            f"{name!r} is a file; expected 'module:function'. Write '{name.removesuffix('.py')}:' and the name of the "
            "function in it that makes the grammar."
        )
    if ":" not in name and name not in known():
        raise ExperimentError(
            f"grammar {name!r} is not known to check; expected one of {', '.join(known())}, or 'module:factory'. "
            f"{nearest(name, known())}See `antiphon list`."
        )
