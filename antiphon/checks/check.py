"""Check a grammar: measure each of its promises with many random seeds, and run further tests of its suite."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from antiphon.checks.instance import Instance
from antiphon.checks.measure import measure
from antiphon.checks.measured import Measured
from antiphon.checks.report import Report, Row, nothing_row, rows_of
from antiphon.checks.staleness import check_staleness
from antiphon.checks.suite import Case, Study, Suite
from antiphon.coordinator.plan.staleness import Staleness
from antiphon.errors import FOREIGN, AntiphonError, GrammarError, unstopped
from antiphon.grammars import Grammar, Promise
from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.process_state import ProcessState
from antiphon.grammars.typed import typed

OWN_INSTANCES = 10
"""Default number of seeds with which `check_grammar` measures the promises of a user's grammar."""


@typed
def check_grammar(
    grammar: Grammar, *, seed: Natural = 0, instances: Count = OWN_INSTANCES, staleness: Staleness = 0
) -> Report:
    """Measure whether the promises of a grammar hold (for example: every player receives its exact gradient).

    Each promise is measured on several instances: runs of the grammar that differ only in their seed.
    seed: seed of the first instance; each further instance has the next seed. instances: number of instances.
    staleness: if not 0, measure a game whose queries use parameters of earlier rounds (`assign`): the age of these
    parameters, and whether exact responses are the gradients at them. The other measurements are then left out.
    Returns a report with the result for each promise.
    Raises GrammarError if the grammar has no promise, or if a promise cannot be measured.
    """
    began = time.perf_counter()
    suite = Suite(grammar.name, (Case("", lambda _: grammar, instances),))
    rows = check_staleness(suite, staleness, seed) if staleness else check_suite(suite, seed)
    return Report(rows, time.perf_counter() - began)


def check_suite(suite: Suite, seed: int = 0, instances: int | None = None) -> tuple[Row, ...]:
    """Run a suite of checks, and return the rows of its report.

    A suite has cases (random grammars whose promises are measured) and studies (other measurements).
    seed: seed of the first grammar of each case; each further grammar has the next seed.
    instances: number of grammars for every case; None uses the number that each case declares.
    """
    cases = [replace(case, instances=instances) if instances else case for case in suite.cases]
    with ProcessState.here().entered():  # so that gradients are recorded even if the caller disabled them
        rows = [row for case in cases for row in _check_case(suite.grammar, case, seed)]
        return (*rows, *(row for study in suite.studies for row in _check_study(suite.grammar, study, seed)))


def _check_case(grammar: str, case: Case, seed: int) -> Iterable[Row]:
    found: dict[tuple[str, str], list[Measured]] = {}
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
            found.setdefault(key, []).extend(replace(each, seed=number) for each in measured)
    rows = [row for (what, to), each in found.items() for row in rows_of(grammar, case.name, what, to, each)]
    return [*rows, nothing_row(grammar, case.name, tuple(silent), case.instances)] if silent else rows


def _measured(instance: Instance) -> Iterable[tuple[tuple[str, str], Sequence[Measured]]]:
    promises = instance.grammar.guarantee.promises
    for promise, key in zip(promises, _keys(promises), strict=True):
        try:
            yield key, measure(promise, instance)
        except AntiphonError as error:
            error.add_note(f"while measuring {_what(promise)!r} of {instance.grammar.name!r}, seed {instance.seed}")
            raise
        except FOREIGN as error:  # a promise may refer to a user's function, which may raise anything
            raise GrammarError(
                f"{_what(promise)!r} of grammar {instance.grammar.name!r} cannot be measured with seed "
                f"{instance.seed}: {type(error).__name__}: {unstopped(error)}. Expected functions of the values "
                "that Q plays, and of the players' modules; correct the promise."
            ) from error


def _keys(promises: Sequence[Promise]) -> list[tuple[str, str]]:
    """Return what each promise promises, and to whom, in words. If these are equal for several, name the loss too."""
    told = [(_what(each), ", ".join(each.players) or "all") for each in promises]
    of = [f", of {_loss(each)}" if told.count(key) > 1 else "" for each, key in zip(promises, told, strict=True)]
    return [(what + loss, to) for (what, to), loss in zip(told, of, strict=True)]


def _loss(promise: Promise) -> str:
    loss = getattr(promise, "loss", None)
    return "the player's own terms" if loss is None else repr(loss)


def _what(promise: Promise) -> str:
    told: Mapping[str, Any] = {field: getattr(promise, field, "") for field in ("premise", "sources")}  # Any: text
    kind = _KINDS.get(type(promise).__name__, type(promise).__name__.lower())
    sources = f" from {', '.join(told['sources'])}" if told["sources"] else ""
    return f"{kind}{sources}" + (f", if {told['premise']}" if told["premise"] else "")


_KINDS = {"SignCorrect": "sign-correct", "Arrives": "comes to rest"}


def _check_study(grammar: str, study: Study, seed: int) -> list[Row]:
    found = [replace(study.measure(number), seed=number) for number in range(seed, seed + study.instances)]
    return rows_of(grammar, "", study.claim, found[0].player, found)
