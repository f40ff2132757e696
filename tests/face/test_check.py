"""`antiphon check`: a table or JSON, exit 1 where a promise is broken, exit 2 for bad input."""

import json

OWN = """
import antiphon
import torch
from torch import nn


def fine(seed):
    return make([])


def wrong():
    return make([antiphon.negate_into("Eye")])


def make(edit):
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.rand(8, 3), torch.rand(8, 1), batch=4))()
    seen = q.player("Eye", nn.Linear, 3, 2)(x)
    objective = antiphon.minimise(q.loss("Loss", nn.functional.mse_loss)(q.player("Hand", nn.Linear, 2, 1)(seen), y))
    r = antiphon.chain_rule(q, objective, edit=edit)
    return antiphon.Grammar("own", q.graph(), r, objective, antiphon.exact())
"""


def test_a_grammar_of_ones_own_is_checked(place, antiphon):
    (place / "own_to_check.py").write_text(OWN)
    told = antiphon("check", "own_to_check:fine")
    assert (told.code, told.error) == (0, "")
    assert told.out.splitlines()[:2] == [
        "grammar            instances  guarantee  players  measured  bound  verdict",
        told.out.splitlines()[1],
    ]
    assert told.out.splitlines()[1].endswith("1e-10  kept")
    assert told.out.splitlines()[-1].startswith("1 of 1 promises kept, 0 not measured, ")


def test_a_broken_promise_is_told_and_exits_1(place, antiphon):
    (place / "own_to_check.py").write_text(OWN)
    told = antiphon("check", "own_to_check:wrong", "--instances=3", "--seed=7")
    assert (told.code, told.error) == (1, "")
    line = told.out.splitlines()[3]
    assert line.startswith("own_to_check:wrong: exact FAILS for player 'Eye', operator 'minus, into Eye': ")
    assert "its output is of the opposite sign (worst: --seed " in line
    assert line.endswith("; 3 instances)")
    as_json = antiphon("check", "own_to_check:wrong", "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out)["rows"][0]["failures"][0]["operator"] == "minus, into Eye"


def test_bad_input_is_refused(place, antiphon):
    nothing = antiphon("check")
    assert (nothing.code, nothing.out) == (2, "")
    assert nothing.error.startswith("error: check was given no grammar; expected one or more of adjusted-game, ")
    both = antiphon("check", "--all", "backprop")
    assert both.code == 2
    assert both.error.startswith("error: check was given --all and names; expected one or more of ")
    unknown = antiphon("check", "backprob")
    assert unknown.code == 2
    assert "Did you mean 'backprop'? See `antiphon list`." in unknown.error
