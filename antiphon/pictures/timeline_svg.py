"""Draw a timeline (the actions of each worker over time) as SVG, with one row per worker. Idle time is hatched."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from antiphon.analysis.timeline import Timeline, TimeSpan, Trip
from antiphon.pictures.templates import filled

_ROW, _GAP, _TOP, _PAD = 36, 10, 58, 14
_WIDE, _NARROW, _MANY, _RECORDED = 78, 26, 40, 1100
_LETTER, _SMALL = 7.2, 5.4
"""Estimated width of a letter in the large and in the small font size, in pixels; slightly more than the average."""


def picture(timeline: Timeline) -> str:
    """Return a timeline (the actions of each worker over time) as the text of an SVG file.

    Queries are white, responses are shaded with a cut corner, parameter updates are dark. Each has a letter and a
    tooltip. Messages are lines from sender to receiver, solid for values and dashed for gradients.
    Equal timelines give equal bytes.
    """
    return _Picture(timeline).svg()


class _Cell(NamedTuple):
    """The rectangle of one action of a worker in the picture of a timeline.

    kind: kind of the action. symbol, name: the text in it, as far as there is space. tip: the tooltip.
    """

    kind: str
    x: float
    y: float
    width: float
    tip: str
    symbol: str
    name: str


class _Picture:
    """Draws a timeline as SVG. The x coordinate depends on the time, the y coordinate on the worker."""

    def __init__(self, timeline: Timeline) -> None:
        self.table = timeline
        self.left = round(max(map(len, timeline.workers), default=0) * _LETTER) + 2 * _PAD
        columns = max(timeline.end, 1)
        self.planned = timeline.unit == "step"
        self.named = self.planned and columns <= _MANY
        self.scale = (_WIDE if self.named else _NARROW) if self.planned else _RECORDED / columns
        self.wide = columns * self.scale
        self.rows = {worker: _TOP + place * (_ROW + _GAP) for place, worker in enumerate(timeline.workers)}
        self.bottom = _TOP + len(timeline.workers) * (_ROW + _GAP)

    def svg(self) -> str:
        table = self.table
        width = max(self.left + self.wide + 70, 640.0, 2 * _PAD + len(table.note) * _SMALL * 1.15)
        kinds, end = _spaced(_KINDS if self.planned else _KINDS_RECORDED, _PAD, 42, 6.4)
        lines, _ = _spaced({"": "message, zeroth order", " first": "message, first order"}, end, 46, 6.0)
        return filled(
            "timeline.svg",
            timeline=table,
            planned=self.planned,
            px="{:.1f}".format,
            width=f"{width:.0f}",
            **{"left": self.left, "wide": self.wide, "rows": self.rows, "bottom": self.bottom},
            **{"row": _ROW, "top": _TOP, "pad": _PAD, "kinds": kinds, "lines": lines},
            ticks=self._ticks(),
            trips=[(trip, self._path(trip)) for trip in table.trips],
            # Where a worker waits, the hatching shows through.
            cells=[self._cell(span) for span in table.spans if span.work or span.symbol != "←"],
        )

    def _x(self, time: float) -> float:
        return self.left + time * self.scale

    def _ticks(self) -> list[tuple[float, str]]:
        every = _tick(self.table.end, self.named)
        times = [count * every for count in range(int(self.table.end / every) + 1)]
        return [(self._x(time), f"{time:g}") for time in times]

    def _cell(self, span: TimeSpan) -> _Cell:
        x, y, width = self._x(span.begin), self.rows[span.worker], (span.end - span.begin) * self.scale
        when = "" if self.planned else f"\n{span.begin:.4f} to {span.end:.4f} ms, round {span.round}"
        symbol, name = self.table.label(span), ""
        if not span.work or width < len(symbol) * _LETTER + 2:
            symbol = ""
        elif width > 40 and span.name.removesuffix(" *") != span.worker:
            name = _fitted(span.name, width - 6)
        return _Cell(span.phase.name.lower() if span.work else "message", x, y, width, span.text + when, symbol, name)

    def _path(self, trip: Trip) -> str:
        source, target = self.rows[trip.edge.source], self.rows[trip.edge.target]
        y1, y2 = (source + _ROW, target) if target > source else (source, target + _ROW)
        x1, x2 = self._x(trip.departs), self._x(trip.arrives)
        tilt = (y2 - y1) / 2
        return f"M{x1:.1f} {y1} C{x1:.1f} {y1 + tilt:.1f} {x2:.1f} {y2 - tilt:.1f} {x2:.1f} {y2}"


_KINDS = {"query": "query", "response": "response", "move": "move", "bubble": "idle"}
_KINDS_RECORDED = {**_KINDS, "bubble": "idle or waiting", "message": "sending"}


def _spaced(
    entries: Mapping[str, str], x: float, gap: float, letter: float
) -> tuple[list[tuple[str, str, float]], float]:
    """Compute the positions of legend entries in one line, from left to right.

    entries: the text of each kind. x: where the first begins. gap: space per entry. letter: width of a letter.
    Returns (the list of (kind, text, x), the x coordinate after the last entry). All lengths are in pixels.
    """
    ends = list(itertools.accumulate((gap + len(text) * letter for text in entries.values()), initial=x))
    return [(kind, text, x) for (kind, text), x in zip(entries.items(), ends, strict=False)], ends[-1]


def _fitted(name: str, width: float) -> str:
    letters = int(width / _SMALL)
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _tick(end: float, every_step: bool) -> float:
    """Return the distance between the ticks of a time axis from 0 to `end`.

    It is 1 if `every_step` is true; otherwise a round number that gives at most about twenty ticks.
    """
    if every_step:
        return 1
    distance = 10.0**-6
    for factor in (2, 2.5, 2) * 12:
        if end / distance <= 20:
            break
        distance *= factor
    return distance
