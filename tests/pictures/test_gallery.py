"""The documents' pictures are those of the library as it is."""

import importlib
import inspect
from pathlib import Path

from antiphon.grammars.grammar import Grammar
from antiphon.pictures.gallery import gallery, write
from antiphon.pictures.legend import MEANINGS
from antiphon.pictures.picture import Change, Line, MarkKind
from antiphon.recipes import LIBRARY

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_gallery_is_current():
    made = gallery()
    stale = [name for name, text in made.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]
    assert stale == [], "run `make gallery`"
    assert {f"gallery/{path.name}" for path in (DOCS / "gallery").iterdir()} == set(made) - {"gallery.md"}


def test_every_grammar_of_the_library_is_in_it():
    shown = [line.removeprefix("## ") for line in gallery()["gallery.md"].splitlines() if line.startswith("## ")]
    assert shown == sorted(shown)
    assert {*LIBRARY} <= set(shown)
    grammars = importlib.import_module("antiphon.grammars.library")
    functions = {name: each for name, each in vars(grammars).items() if inspect.isfunction(each)}
    made = {name for name, each in functions.items() if inspect.signature(each).return_annotation is Grammar}
    assert len(made) > 10
    # What a maker is called in Python, and the name of the grammar that it makes.
    others = {"maximum_a_posteriori": "likelihood", "maximum_likelihood": "likelihood"}
    assert {others.get(name, name.replace("_", "-")) for name in made} <= set(shown)


def test_pictures_of_what_is_gone_are_removed(tmp_path):
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gone.svg").write_text("")
    write(tmp_path)
    assert not (tmp_path / "gallery" / "gone.svg").exists()
    assert (tmp_path / "gallery.md").read_text() == gallery()["gallery.md"]


def test_the_key_explains_every_mark_and_line():
    assert set(MEANINGS) == {*(set(MarkKind) - {MarkKind.CUT}), *Line, *(set(Change) - {Change.SAME})}
