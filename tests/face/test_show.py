"""`antiphon show`: a grammar as text or drawn; against another, what differs. Bad input is refused, exit 2."""

import pytest

FORMATS = ".svg, .png, .html, .mmd, .md, .dot, .gv"
OWN = """
import antiphon, torch
from torch.nn.functional import mse_loss

def make(width=2, turned=False):
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.ones(4, 2), torch.ones(4, 1), batch=2))()
    hidden = q.player("Eye", torch.nn.Linear, 2, width)(x)
    objective = antiphon.minimise(q.loss("Loss", mse_loss)(q.player("Hand", torch.nn.Linear, width, 1)(hidden), y))
    edit = antiphon.negate_into("Eye") if turned else ()
    return antiphon.Grammar("own", q.graph(), antiphon.chain_rule(q, objective, edit=edit), objective)

def turned():
    return make(turned=True)
"""


@pytest.fixture
def own(place):
    (place / "own.py").write_text(OWN)


def test_without_a_file_it_is_printed(antiphon, place):
    told = antiphon("show", "backprop")
    assert (told.code, told.error) == (0, "")
    assert told.out.startswith("grammar backprop: minimise Loss, guarantee exact\nQ:\n  Nature.sample = oracle")


@pytest.mark.parametrize("ending", FORMATS.split(", "))
def test_a_users_grammar_is_drawn_into_a_file(antiphon, own, place, ending):
    told = antiphon("show", "own:make", "--out", f"picture{ending}")
    assert (told.code, told.out, told.error) == (0, f"own: picture{ending}\n", "")
    assert (place / f"picture{ending}").stat().st_size > 500


def test_a_toml_experiment_is_drawn_with_its_own_keys(antiphon, own, place):
    (place / "wide.toml").write_text('grammar = "own:make"\n[arguments]\nwidth = 7\n')
    assert antiphon("show", "wide.toml", "--out", "wide.dot").code == 0
    assert "Linear(2, 7)" in (place / "wide.dot").read_text()
    assert antiphon("show", "wide.toml", "--set", "arguments.width=9", "--out", "wide.dot").code == 0
    assert "Linear(2, 9)" in (place / "wide.dot").read_text()


def test_against_the_chain_rule_its_edits_are_told(antiphon, own):
    told = antiphon("show", "own:turned", "--against", "chain-rule")
    assert told.out.splitlines() == [
        "own against the chain rule",
        "R + minus: map minus, into Eye: antiphon.grammars.maps:negate() of Hand *",
        "R + Hand * -> minus, into Eye: δ Eye [batch, 2]",
        "R + minus, into Eye -> Eye *: −δ Eye [batch, 2]",
    ]


def test_against_another_grammar_differences_are_drawn(antiphon, own, place):
    told = antiphon("show", "own:turned", "--against", "own:make", "--out", "both.svg")
    assert (told.code, told.out) == (0, "own against own: both.svg\n")
    assert "R: 1 mark more, 2 arrows more" in (place / "both.svg").read_text()
    assert antiphon("show", "own:make", "--against", "own:make").out == "own against own\nnothing differs\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["bakcprop", "--out", "x.svg"],
            "grammar 'bakcprop' is not known; expected one of",
        ),
        (
            ["backprop", "--out", "x.jpeg"],
            f"file 'x.jpeg' ends in .jpeg; expected one of {FORMATS}. The ending chooses the format: change it.\n",
        ),
        (
            ["backprop", "--out", "picture"],
            f"file 'picture' ends in nothing; expected one of {FORMATS}. The ending chooses the format: change it.\n",
        ),
        (
            ["backprop", "--out", "nowhere/x.svg"],
            "file 'nowhere/x.svg' cannot be written: there is no folder 'nowhere'. Expected a file in a folder that "
            "exists and may be written to; correct the path.\n",
        ),
        (["backprop", "--against", "gann"], "grammar 'gann' is not known; expected one of"),
    ],
)
def test_bad_input_is_refused(antiphon, place, arguments, text):
    told = antiphon("show", *arguments)
    assert (told.code, told.out) == (2, "")
    assert told.error.startswith(f"error: {text}")
    assert list(place.iterdir()) == []


BOXED = """
import antiphon, torch
from antiphon import Batch, EdgeType
from antiphon.oracles import black_box
from torch.nn.functional import mse_loss

WIDE = EdgeType((Batch(), 2))

def make():
    q = antiphon.QueryDraft()
    x, y = q.oracle("Nature", antiphon.arrays(torch.ones(4, 2), torch.ones(4, 1), batch=2))()
    eye = q.player("Eye", torch.nn.Linear, 2, 2)(x)
    seen = q.oracle("Wall", black_box(torch.abs, [WIDE], [WIDE]))(eye)
    objective = antiphon.minimise(q.loss("Loss", mse_loss)(q.player("Hand", torch.nn.Linear, 2, 1)(seen), y))
    told = {eye: lambda r: r.tap(eye)}
    r = antiphon.chain_rule(q, objective, edit=antiphon.cut_into("Wall"), answers=told)
    return antiphon.Grammar("boxed", q.graph(), r, objective)
"""


def test_a_black_box_is_drawn_and_has_no_chain_rule_to_be_drawn_against(antiphon, place):
    (place / "boxed.py").write_text(BOXED)
    assert antiphon("show", "boxed:make", "--out", "boxed.svg").code == 0
    told = antiphon("show", "boxed:make", "--against", "chain-rule")
    assert (told.code, told.out) == (2, "")
    assert told.error == (
        "error: the chain rule needs a gradient of 'value' from oracle 'Wall' on the way to player 'Eye'; expected a "
        "gray box, but it is a black box and answers values only. Cut it (`edit=cut_into('Wall')`), or let a player "
        "estimate the gradient.\n"
    )
