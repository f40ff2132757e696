"""A name is letters, never markup: on terminals, in pictures, in file names; a name that cannot be shown is refused."""

import html
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
import torch
import yaml
from hypothesis import given, settings, strategies as st
from rich.console import Console
from torch import nn

from antiphon.cli.terminal import say
from antiphon.columns import columns, plain
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import Placement
from antiphon.envs import arrays
from antiphon.errors import GrammarError, PlacementError
from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.draft import QueryDraft
from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.guarantee import exact
from antiphon.grammars.library import backprop
from antiphon.grammars.objective import minimise
from antiphon.pictures.drawing import Drawing, draw
from rigs.checkpoints import write_checkpoint
from rigs.games import points

MARKUP = ["[/x]", "[bold]x", "<!--<script>", "</script>", "]]>&lt;", 'a"b', "it's", "x\\", "\\N", "```", "#1;", "a|b"]
MARKUP += ["::x", "$x_{$", "%41", "../x", "manifest", ":smile:", "é漢🎉"]
NAMES = st.lists(st.sampled_from(MARKUP), min_size=1, max_size=4).map("".join).filter(lambda name: name.strip())
UNPRINTABLE = ["a\x1b[31mb", "\x00", "a\nb", "\ud800", "\u202eabc", "", "  ", "A@agent"]


def game(name: str) -> Grammar:
    q = QueryDraft()
    x, y = q.oracle("World", arrays(torch.ones(8, 2), torch.ones(8, 1), batch=4))()
    loss = q.loss("L", nn.functional.mse_loss)(q.player(name, nn.Linear, 2, 1)(x), y)
    objective = minimise(loss)
    return Grammar(f"of {name}", q.graph(), chain_rule(q, objective), objective, exact(name))


@pytest.fixture(scope="module")
def picture() -> Drawing:
    """Of a chain of players with all these names, in a grammar that has them too."""
    layers = {name: Factory.of(nn.Linear, 2, 2) for name in MARKUP}
    return draw(replace(backprop(points(2, classes=2), layers), name=": ".join(MARKUP[:9])))


class Page(HTMLParser):
    """The scripts of a page and its title."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, list[str]] = {"script": [], "title": []}
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.found:
            self._within = tag
            self.found[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = "" if tag == self._within else self._within

    def handle_data(self, data: str) -> None:
        if self._within:
            self.found[self._within][-1] += data


def test_names_are_in_every_picture_as_they_are(picture):
    tree = ElementTree.fromstring(picture.svg)
    assert {each.get("data-owner") for each in tree.iter()} >= set(MARKUP)
    page = Page(picture.html)
    story, script = page.found["script"]
    told = json.loads(story)
    assert set(told["workers"]) >= set(MARKUP)
    assert "<" not in story, "a browser keeps <!--<script open until it is closed"
    assert '"use strict"' in script and page.found["title"][0] == picture.picture.title


def test_names_end_no_quote_of_mermaid_and_dot(picture):
    _, front, chart = picture.mermaid.split("---\n", 2)
    assert unescaped(yaml.safe_load(front)["title"]) == picture.picture.title
    labels = {unescaped(label) for label in re.findall(r'"([^"]*)"', chart)}
    quoted = {re.sub(r"\\(.)", r"\1", text) for text in re.findall(r'"((?:[^"\\]|\\.)*)"', picture.dot)}
    for name in MARKUP:
        assert any(name in label for label in labels), name
        assert name in quoted, name
    assert set(re.sub(r'"[^"]*"', "", chart)) & set("&`") == set()
    assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", picture.dot)


def unescaped(text: str) -> str:
    """Mermaid's entities back to letters."""
    return html.unescape(re.sub(r"#(\w+);", lambda found: f"&{'#' * found[1].isdigit()}{found[1]};", text))


@given(NAMES, st.integers(1, 90))
@settings(max_examples=25)
def test_a_name_is_a_file_of_its_own_in_a_checkpoint(tmp_path_factory, name, times):
    name, folder = name * times, tmp_path_factory.mktemp("named")
    with InlineExecutor(assign(game(name))) as executor:
        executor.save(folder / "checkpoint")
        states = executor.states()
    manifest = read_manifest(folder / "checkpoint")
    assert manifest.names == tuple(states)
    found = load_states(folder / "checkpoint", manifest.names)[name]
    assert found["moves"] == 0 and found["parameters"]["weight"].equal(states[name]["parameters"]["weight"])
    assert [path.name for path in folder.iterdir()] == ["checkpoint"]


def test_no_two_names_share_a_file(tmp_path):
    names = ["manifest", "Manifest", "%6Danifest", "%6danifest", "a/b", "a%2Fb", "x" * 300, "x" * 301, "..", "."]
    names += ["dense", "Dense", "DENSE", "dEnse", "ReLU", "RELU"]
    write_checkpoint(tmp_path, {name: {"is": name} for name in names})
    assert load_states(tmp_path, names) == {name: {"is": name} for name in names}
    files = [path.name.lower() for path in tmp_path.iterdir()]  # as a file system that does not tell case has them
    assert len(set(files)) == len(files) == 2 * len(names) + 1
    assert (tmp_path / "Dense.safetensors").exists()


@given(NAMES | st.text(min_size=1))
def test_a_terminal_shows_a_text_as_it_is_and_obeys_none(text):
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=2000, color_system=None)
    say(console, text)
    console.print(columns([(text, 1)], (text, "b"), left=1))
    shown = written.getvalue()
    assert "\x1b" not in shown and "\x00" not in shown
    assert shown.count(plain(text).split("\n")[0].strip()) >= 3
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("name", UNPRINTABLE)
def test_a_name_that_cannot_be_shown_is_refused_and_told(name):
    with pytest.raises(GrammarError, match=r"name.*Choose another") as caught:
        game(name)
    assert repr(name) in str(caught.value) and str(caught.value).isprintable()
    if name != "A@agent":  # where an agent lives apart, its worker is called so
        with pytest.raises(PlacementError, match="of a worker"):
            Placement(((name, ("A",)),))


def test_commands_show_nasty_names(antiphon, place):
    (place / "nasty.py").write_text(GAME)
    for command in (
        ["show"],
        ["show", "--schedule"],
        ["cost", "--messages"],
        ["check"],
        ["run", "--rounds=2"],
    ):
        told = antiphon(command[0], "nasty:make", *command[1:])
        assert told.code == 0, told
        assert "[/x]" in told.out, told.out


GAME = """
import torch, antiphon

def make():
    q = antiphon.QueryDraft()
    x, y = q.oracle("[bold]World", antiphon.arrays(torch.randn(8, 2), torch.randn(8, 1), batch=4))()
    loss = q.loss("[red]", torch.nn.functional.mse_loss)(q.player("[/x]", torch.nn.Linear, 2, 1)(x), y)
    objective = antiphon.minimise(loss)
    return antiphon.Grammar("g", q.graph(), antiphon.chain_rule(q, objective), objective, antiphon.exact("[/x]"))
"""
