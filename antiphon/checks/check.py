"""Checking a grammar: every promise, on every instance of every family; every study."""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import torch

from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.report import Report, Row, nothing_row, rows_of
from antiphon.checks.suite import Case, Learning, Study, Suite
from antiphon.checks.suites import NAMES, suite_of
from antiphon.errors import FOREIGN, AntiphonError, ExperimentError, GrammarError
from antiphon.finding import nearest
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import Promise
from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.typed import typed
from antiphon.installed import GRAMMARS, find_grammar, installed

OWN_INSTANCES = 10
"""Instances that are made of a user's own grammar."""


@typed
def check(*names: str, seed: Natural = 0, processes: Count = 1, instances: Count | None = None) -> Report:
    """Measure what is promised of grammars of the library, by name, or of one's own, `module:factory` or installed.

    A user's factory is called with `seed` if it takes one, for each of ten instances; else the instances differ in the
    run's seed alone: in parameters, and in what oracles draw. seed: of the first instance; the next count on from it.
    processes: how many grammars are checked at the same time. instances: of each family, in place of its own number.
    Raises ExperimentError for what is not known, GrammarError for a grammar that promises nothing or cannot be played.
    """
    began = time.perf_counter()
    for name in names:
        _refuse_unknown(name)
    jobs = [(name, seed, instances) for name in names]
    if processes == 1 or len(jobs) <= 1:
        found = [_check(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_check, *zip(*jobs, strict=True)))
    return Report(tuple(row for rows in found for row in rows), time.perf_counter() - began)


@typed
def check_grammar(grammar: Grammar, *, seed: Natural = 0, instances: Count = OWN_INSTANCES) -> Report:
    """Measure what one grammar promises, on instances that differ in the run's seed."""
    began = time.perf_counter()
    rows = check_suite(Suite(grammar.name, (Case("", lambda _: grammar, instances),)), seed)
    return Report(rows, time.perf_counter() - began)


def check_suite(suite: Suite, seed: int = 0, instances: int | None = None) -> tuple[Row, ...]:
    """Every case and every study of a suite, from `seed` on."""
    cases = [replace(case, instances=instances) if instances else case for case in suite.cases]
    with ProcessState.here().entered():  # gradients are recorded, whatever the caller has switched off
        rows = [row for case in cases for row in _check_case(suite.grammar, case, seed)]
        return (*rows, *(row for study in suite.studies for row in _check_study(suite.grammar, study, seed)))


def _check(name: str, seed: int, instances: int | None) -> tuple[Row, ...]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # instances are small, and other processes want the other cores
    try:
        return check_suite(_suite(name), seed, instances)
    finally:
        torch.set_num_threads(threads)


def _suite(name: str) -> Suite:
    if name in NAMES:
        return suite_of(name)
    return Suite(name, (Case("", _own(name), OWN_INSTANCES, Learning()),))


def _own(name: str) -> Callable[[int], Grammar]:
    from antiphon.experiment import own_grammar

    factory = find_grammar(name)
    seeded = "seed" in inspect.signature(factory).parameters
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
    known = NAMES if ":" in name or name in NAMES else (*NAMES, *installed(GRAMMARS))
    if ":" not in name and name not in known:
        raise ExperimentError(
            f"grammar {name!r} is not known to check; expected one of {', '.join(known)}, or 'module:factory'. "
            f"{nearest(name, known)}See `antiphon list`."
        )


def _check_case(grammar: str, case: Case, seed: int) -> Iterable[Row]:
    found: dict[tuple[str, str], list[tuple[int, Measured]]] = {}
    silent: dict[str, None] = {}
    for number in range(seed, seed + case.instances):
        instance = Instance(case.make(number), number, case.learning)
        if not instance.grammar.guarantee.promises:
            raise GrammarError(
                f"grammar {instance.grammar.name!r} promises nothing, so nothing can be measured; expected a "
                "guarantee. Give it one, such as antiphon.exact()."
            )
        silent |= dict.fromkeys(filter(instance.grammar.guarantee.says_nothing_of, instance.players))
        for key, measured in _measured(instance):
            found.setdefault(key, []).extend((number, each) for each in measured)
    rows = [row for (what, to), each in found.items() for row in rows_of(grammar, case.name, what, to, each)]
    return [*rows, nothing_row(grammar, case.name, tuple(silent), case.instances)] if silent else rows


def _measured(instance: Instance) -> Iterable[tuple[tuple[str, str], Sequence[Measured]]]:
    for promise in instance.grammar.guarantee.promises:
        try:
            yield (_what(promise), ", ".join(promise.players) or "all"), measure(promise, instance)
        except AntiphonError as error:
            error.add_note(f"while measuring {_what(promise)!r} of {instance.grammar.name!r}, seed {instance.seed}")
            raise
        except FOREIGN as error:  # what a promise refers to may be a user's function, and raise anything
            raise GrammarError(
                f"{_what(promise)!r} of grammar {instance.grammar.name!r} cannot be measured with seed "
                f"{instance.seed}: {type(error).__name__}: {error}. Expected functions of the values that Q plays, "
                "and of the players' modules; correct the promise."
            ) from error


def _what(promise: Promise) -> str:
    told: Mapping[str, Any] = {field: getattr(promise, field, "") for field in ("premise", "sources")}  # Any: text
    kind = _KINDS.get(type(promise).__name__, type(promise).__name__.lower())
    sources = f" from {', '.join(told['sources'])}" if told["sources"] else ""
    return f"{kind}{sources}" + (f", if {told['premise']}" if told["premise"] else "")


_KINDS = {"SignCorrect": "sign-correct", "Arrives": "comes to rest"}


def _check_study(grammar: str, study: Study, seed: int) -> list[Row]:
    found: list[tuple[int, Measured]] = []
    for number in range(seed, seed + study.instances):
        measurement = study.measure(number)
        measured = Measured(study.player, measurement.value, measurement.bound, study.operator, measurement.detail)
        found.append((number, measured))
    return rows_of(grammar, "", study.claim, study.player, found)
