"""Checking as a user does: by name or one's own, in other processes, refused in words."""

import json

import pytest
import torch
from torch import nn

import antiphon
from antiphon.analysis.check import check, suite_of
from antiphon.checks.check import check_grammar
from antiphon.checks.measured import Measured
from antiphon.checks.mutants import flipped
from antiphon.checks.report import rows_of
from antiphon.errors import ExperimentError, GrammarError
from antiphon.grammars import Port, Promise
from antiphon.recipes import LIBRARY


def promising(*promises: Promise) -> antiphon.Grammar:
    q = antiphon.QueryDraft()
    x = q.oracle("Nature", antiphon.arrays(torch.ones(8, 3), batch=4))()
    objective = antiphon.minimise(q.loss("Loss", torch.mean)(q.player("Mine", nn.Linear, 3, 2)(x)))
    guarantee = antiphon.promised(*promises)
    return antiphon.Grammar("own", q.graph(), antiphon.chain_rule(q, objective), objective, guarantee)


def fine(seed: int) -> antiphon.Grammar:
    return promising(antiphon.Exact())


def wrong() -> antiphon.Grammar:
    return flipped(promising(antiphon.Exact(("Mine",))), Port("Loss *"))


def mute() -> antiphon.Grammar:
    return promising()


def strange() -> antiphon.Grammar:
    return promising(antiphon.Exact(("Yours",)))


def vector() -> antiphon.Grammar:
    return promising(antiphon.Exact(("Mine",), antiphon.PlayerLoss.of(torch.abs, Port("Mine"))))


def off() -> antiphon.Grammar:
    return promising(antiphon.Exact(("Mine",), antiphon.PlayerLoss.of(torch.abs, Port("Loess"))))


def raising(modules, values) -> torch.Tensor:
    return values[Port("Yours")]


def lost() -> antiphon.Grammar:
    return promising(antiphon.Surrogate(truth=antiphon.Factory.of(raising), draws=2))


@pytest.fixture
def own(monkeypatch, request) -> str:
    """The name under which this module is imported."""
    return request.module.__name__


def test_a_grammar_of_ones_own(own):
    (row,) = check(f"{own}:fine").rows
    assert (row.grammar, row.guarantee, row.players, row.verdict, row.instances) == (
        f"{own}:fine",
        "exact",
        "all",
        "kept",
        10,
    )
    report = check(f"{own}:wrong", seed=5, instances=2)
    (row,) = report.rows
    (failure,) = row.failures
    assert report.failed
    assert (failure.player, failure.operator, failure.seed, failure.instances) == ("Mine", "mutated Loss *", 5, 2)


def test_the_table_and_what_is_told_below_it():
    lines = check_grammar(wrong(), instances=1).text.splitlines()
    assert lines[:2] == [
        "grammar  instances  guarantee  players  measured  bound  verdict",
        f"own      1          exact      Mine     {lines[1].split()[4]:<8}  1e-10  FAILS",
    ]
    assert float(lines[1].split()[4]) > 0.1
    assert lines[2] == ""
    assert lines[3].startswith("own: exact FAILS for player 'Mine', operator 'mutated Loss *': ")
    assert lines[3].endswith("its output is of the opposite sign (worst: --seed 0; 1 instance)")
    assert len(lines) == 4


def climbed(played: torch.Tensor) -> torch.Tensor:
    return -played.mean()


def test_promises_of_one_kind_about_several_losses_have_a_row_each():
    other = antiphon.PlayerLoss.of(climbed, Port("Mine"))
    report = check_grammar(promising(antiphon.Descent(("Mine",)), antiphon.Descent(("Mine",), other)), instances=1)
    assert [row.verdict for row in report.rows] == ["kept", "FAILS"]
    assert "climbed" in report.rows[1].guarantee


def test_json_says_the_same():
    told = json.loads(check_grammar(wrong(), instances=1).as_json)
    assert told["failed"] is True
    (row,) = told["rows"]
    assert row["failures"][0]["player"] == "Mine"
    assert row["bound"] == 1e-10


@pytest.mark.slow
def test_several_grammars_in_several_processes_are_told_in_order():
    """The suites are asked for by name in each process, so only those of the library can be told to go there."""
    one = check("backprop", instances=1)
    two = check("backprop", "backprop", instances=1, processes=2)
    assert two.rows == one.rows + one.rows


def test_every_suite_is_of_the_grammar_that_it_is_named_after():
    assert [suite_of(name).grammar for name in LIBRARY] == list(LIBRARY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            strange,
            "grammar 'own' promises something to 'Yours', which is none of its players; expected one of ['Mine']. "
            "Correct the promise.",
        ),
        (
            mute,
            "grammar 'own' promises nothing, so nothing can be measured; expected a guarantee. "
            "Give it one, such as antiphon.exact().",
        ),
        (
            vector,
            "a player's loss of grammar 'own', torch:abs() (Mine), is of shape (4, 2); expected a 0-d tensor. "
            "Return the mean over the batch.",
        ),
        (off, "a player's loss of grammar 'own' takes Loess, which Q does not play"),
        (
            lost,
            "'surrogate' of grammar 'own' cannot be measured with seed 0: KeyError: Yours. Expected functions of the "
            "values that Q plays, and of the players' modules; correct the promise.",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(make, message):
    with pytest.raises(GrammarError) as refused:
        check_grammar(make())
    assert str(refused.value).startswith(message)


def test_a_refusal_says_what_was_measured():
    with pytest.raises(GrammarError) as refused:
        check_grammar(off())
    assert refused.value.__notes__ == ["while measuring 'exact' of 'own', seed 0"]


def test_an_unknown_name_is_refused():
    with pytest.raises(ExperimentError) as refused:
        check("bakprop")
    assert str(refused.value) == (
        f"grammar 'bakprop' is not known to check; expected one of {', '.join(LIBRARY)}, or 'module:factory'. "
        "Did you mean 'backprop'? See `antiphon list`."
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "mine.toml",
            "'mine.toml' is an experiment, which is run and not checked; expected a grammar. Check the one that its "
            "line 'grammar = ' names.",
        ),
        (
            "mine.py",
            "'mine.py' is a file; expected 'module:function'. Write 'mine:' and the name of the function in it that "
            "makes the grammar.",
        ),
        (
            "mine.py:game",
            "grammar 'mine.py:game' names a file; expected 'module:name', importable from here. Write 'mine:game'.",
        ),
    ],
)
def test_a_file_is_refused_and_told_from_a_module(name: str, expected: str):
    with pytest.raises(ExperimentError) as refused:
        check(name)
    assert str(refused.value) == expected


def test_it_is_told_who_was_not_measured_beside_others_who_were():
    found = [Measured("A", 0.0, 1.0), Measured("B", 0.0, 1.0, skipped="nothing arrives")]
    rows = rows_of("own", "", "exact", "all", found)
    assert [(row.players, row.verdict, row.detail) for row in rows] == [
        ("A", "kept", ""),
        ("B", "not measured", "nothing arrives"),
    ]
