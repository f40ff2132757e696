"""A picture as one HTML file that plays a round step by step and highlights the active parts. It works offline."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from xml.sax.saxutils import escape

from antiphon.grammars.grammar import Grammar
from antiphon.pictures.counts import Row, counts
from antiphon.pictures.ink import PAINTS
from antiphon.pictures.picture import Picture
from antiphon.pictures.story import Story, story_of
from antiphon.pictures.svg import svg_of

_COLOURS = "".join(f".f-{name} {{ fill: var(--{name}); }} .s-{name} {{ stroke: var(--{name}); }}\n" for name in PAINTS)
"""Fills and strokes take their colours from the page, which follows the choice of light or dark."""


def page_of(grammar: Grammar, picture: Picture, rows: Sequence[Row] = ()) -> str:
    """Return the HTML page of a picture. rows: its table. If empty, the table shows the counts of Q and R."""
    story = story_of(grammar, picture)
    title = escape(picture.title)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title}</title><link rel="icon" href="data:,">',
            f"<style>{_file('page.css')}{_COLOURS}</style></head><body>",
            _controls(story),
            f'<main><div id="picture" tabindex="-1">{svg_of(picture)}</div>',
            _table(rows or counts(grammar)),
            "</main>",
            f'<script type="application/json" id="story">{_data(story)}</script>',
            f"<script>{_file('page.js')}</script></body></html>\n",
        ]
    )


def _controls(story: Story) -> str:
    last = len(story.scenes)
    buttons = "".join(
        f'<button type="button" id="{name}" aria-label="{label}">{sign}</button>'
        for name, label, sign in (
            ("back", "one step back", "&#9664;"),
            ("play", "play the round", "play"),
            ("on", "one step on", "&#9654;"),
        )
    )
    return (
        f'<header><div class="row">{buttons}'
        f'<label>step <input type="range" id="step" min="0" max="{last}" value="0"></label>'
        f'<output id="count" for="step">0 / {last}</output>'
        '<label class="check"><input type="checkbox" id="actual"> actual size</label></div>'
        '<p id="said" aria-live="polite"></p></header>'
    )


def _table(rows: Sequence[Row]) -> str:
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return (
        f"<aside><table><caption>What a round takes</caption><tbody>{body}</tbody></table>"
        '<h2>Workers</h2><ul id="workers"></ul></aside>'
    )


def _data(story: Story) -> str:
    # "</script" would end the script element and "<!--<script" would keep it open, so every "<" is escaped.
    return json.dumps(asdict(story), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _file(name: str) -> str:
    return (files("antiphon.pictures") / name).read_text()
