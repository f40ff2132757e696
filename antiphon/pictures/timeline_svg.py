"""A timeline as an SVG picture: a row per worker and a column per step. Idle time is hatched."""

from html import escape

from antiphon.analysis.timeline import Timeline, TimeSpan, Trip

_ROW, _GAP, _TOP, _PAD = 36, 10, 58, 14
_WIDE, _NARROW, _MANY, _RECORDED = 78, 26, 40, 1100
_LETTER, _SMALL = 7.2, 5.4
"""Estimated letter widths of the two font sizes, in pixels; slightly more than most letters need."""

_STYLE = """
text { font-family: 'DejaVu Sans', Verdana, sans-serif; font-size: 12px; fill: #111; }
.small { font-size: 9px; } .note { font-size: 10px; fill: #555; } .title { font-size: 14px; font-weight: bold; }
.query { fill: #fff; stroke: #111; } .response { fill: #cfd8e6; stroke: #111; } .move { fill: #222; stroke: #111; }
.message { fill: #9a9a9a; stroke: none; } text.on-move { fill: #fff; }
.bubble { fill: url(#bubble); stroke: none; } .line { stroke: #bbb; } .grid { stroke: #e3e3e3; }
.trip { stroke: #b3541e; stroke-width: 1.3; fill: none; } .first { stroke-dasharray: 4 2.5; }
.page { fill: #fff; }
"""
_DARK = """
@media (prefers-color-scheme: dark) {
.page { fill: #15171a; } text { fill: #eee; } .note { fill: #aaa; } .query { fill: #15171a; stroke: #ddd; }
.response { fill: #33445c; stroke: #ddd; } .move { fill: #e8e8e8; stroke: #ddd; } text.on-move { fill: #111; }
.line { stroke: #555; } .grid { stroke: #2b2e33; } .trip { stroke: #f0a36b; }
}
"""


def picture(timeline: Timeline) -> str:
    """Return the timeline as SVG text. Equal timelines give equal bytes.

    Queries are white, responses are shaded with a cut corner, moves are dark. Each has a letter and a tooltip.
    Messages are lines from sender to receiver, solid for zeroth order and dashed for first order.
    """
    return _Picture(timeline).svg()


class _Picture:
    """Draws one timeline. The x coordinate follows from the time, the y coordinate from the worker."""

    def __init__(self, timeline: Timeline) -> None:
        self.table = timeline
        self.left = round(max(map(len, timeline.workers), default=0) * _LETTER) + 2 * _PAD
        columns = max(timeline.end, 1)
        planned = timeline.unit == "step"
        self.named = planned and columns <= _MANY
        self.scale = (_WIDE if self.named else _NARROW) if planned else _RECORDED / columns
        self.wide = columns * self.scale
        self.rows = {worker: _TOP + place * (_ROW + _GAP) for place, worker in enumerate(timeline.workers)}
        self.bottom = _TOP + len(timeline.workers) * (_ROW + _GAP)

    def svg(self) -> str:
        width = max(self.left + self.wide + 70, 640.0, 2 * _PAD + len(self.table.note) * _SMALL * 1.15)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{self.bottom + 58}" '
            f'viewBox="0 0 {width:.0f} {self.bottom + 58}" role="img">',
            f"<title>{escape(self.table.title)}</title><style>{_STYLE}{_DARK}</style>",
            '<defs><pattern id="bubble" width="6" height="6" patternUnits="userSpaceOnUse" '
            'patternTransform="rotate(45)"><line y2="6" class="line"/></pattern></defs>',
            f'<rect class="page" width="{width:.0f}" height="{self.bottom + 58}"/>',
            f'<text x="{_PAD}" y="22" class="title">{escape(self.table.title)}</text>',
            *self._axis(),
            *(self._row(worker) for worker in self.table.workers),
            *(self._trip(trip) for trip in self.table.trips),  # behind the cells, so as not to cross their letters
            *(self._cell(span) for span in self.table.spans),
            *self._legend(),
            "</svg>\n",
        ]
        return "\n".join(parts)

    def _x(self, time: float) -> float:
        return self.left + time * self.scale

    def _axis(self) -> list[str]:
        every = _tick(self.table.end, self.table.unit == "step" and self.named)
        found = []
        for count in range(int(self.table.end / every) + 1):
            at, label = self._x(count * every), f"{count * every:g}"
            found.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 8}" y2="{self.bottom}"/>')
            found.append(f'<text x="{at:.1f}" y="{_TOP - 12}" class="note" text-anchor="middle">{label}</text>')
        unit = "steps" if self.table.unit == "step" else "ms"
        found.append(f'<text x="{self.left - 10:.1f}" y="{_TOP - 12}" class="note" text-anchor="end">{unit}</text>')
        return found

    def _row(self, worker: str) -> str:
        y = self.rows[worker]
        name = f'<text x="{self.left - 10}" y="{y + _ROW / 2 + 4}" text-anchor="end">{escape(worker)}</text>'
        band = f'<rect class="bubble" x="{self.left}" y="{y}" width="{self.wide:.1f}" height="{_ROW}"/>'
        idle = f"idle {100 * self.table.idle(worker):.0f} %"
        share = f'<text x="{self.left + self.wide + 8:.1f}" y="{y + _ROW / 2 + 4}" class="note">{idle}</text>'
        return band + name + share

    def _cell(self, span: TimeSpan) -> str:
        if not span.work and span.symbol == "←":
            return ""  # waiting: the hatching shows through
        x, y, width = self._x(span.begin), self.rows[span.worker], (span.end - span.begin) * self.scale
        kind = span.phase.name.lower() if span.work else "message"
        shape = _shape(kind, x, y, width)
        return f"<g><title>{escape(self._tooltip(span))}</title>{shape}{self._label(span, x, y, width, kind)}</g>"

    def _tooltip(self, span: TimeSpan) -> str:
        when = "" if self.table.unit == "step" else f"\n{span.begin:.4f} to {span.end:.4f} ms, round {span.round}"
        return f"{span.text}{when}"

    def _label(self, span: TimeSpan, x: float, y: float, width: float, kind: str) -> str:
        symbol = self.table.label(span)
        if not span.work or width < len(symbol) * _LETTER + 2:
            return ""
        middle, shade = x + width / 2, " on-move" if kind == "move" else ""
        name = _fitted(span.name, width - 6) if span.name.removesuffix(" *") != span.worker else ""
        if not (name and width > 40):
            return f'<text x="{middle:.1f}" y="{y + _ROW / 2 + 4}" text-anchor="middle" class="{shade}">{symbol}</text>'
        return (
            f'<text x="{middle:.1f}" y="{y + 15}" text-anchor="middle" class="{shade}">{symbol}</text>'
            f'<text x="{middle:.1f}" y="{y + 28}" text-anchor="middle" class="small{shade}">{escape(name)}</text>'
        )

    def _trip(self, trip: Trip) -> str:
        source, target = self.rows[trip.edge.source], self.rows[trip.edge.target]
        down = target > source
        y1, y2 = (source + _ROW, target) if down else (source, target + _ROW)
        x1, x2 = self._x(trip.departs), self._x(trip.arrives)
        tilt = (y2 - y1) / 2
        order = " first" if trip.edge.order == "first" else ""
        path = f"M{x1:.1f} {y1} C{x1:.1f} {y1 + tilt:.1f} {x2:.1f} {y2 - tilt:.1f} {x2:.1f} {y2}"
        return f'<g><title>{escape(trip.edge.name)}</title><path class="trip{order}" d="{path}"/></g>'

    def _legend(self) -> list[str]:
        y, x, found = self.bottom + 14, float(_PAD), []
        kinds = {"query": "query", "response": "response", "move": "move", "bubble": "idle"}
        if self.table.unit != "step":
            kinds = {**kinds, "message": "sending", "bubble": "idle or waiting"}
        for kind, text in kinds.items():
            found.append(_shape(kind, x, y, 22, 14) + f'<text x="{x + 28:.1f}" y="{y + 11}" class="note">{text}</text>')
            x += 42 + len(text) * 6.4
        for order, text in (("", "message, zeroth order"), (" first", "message, first order")):
            line = f'<path class="trip{order}" d="M{x:.1f} {y + 7} L{x + 26:.1f} {y + 7}"/>'
            found.append(line + f'<text x="{x + 32:.1f}" y="{y + 11}" class="note">{text}</text>')
            x += 46 + len(text) * 6.0
        return [*found, f'<text x="{_PAD}" y="{y + 34}" class="note">{escape(self.table.note)}</text>']


def _shape(kind: str, x: float, y: float, width: float, height: float = _ROW) -> str:
    if kind == "response" and width > 8:
        cut = 6
        points = f"{x:.1f},{y} {x + width - cut:.1f},{y} {x + width:.1f},{y + cut} {x + width:.1f},{y + height} "
        return f'<polygon class="response" points="{points}{x:.1f},{y + height}"/>'
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{max(width, 0.6):.1f}" height="{height}"/>'


def _fitted(name: str, width: float) -> str:
    letters = int(width / _SMALL)
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _tick(end: float, every_step: bool) -> float:
    """Return the distance between ticks of the axis: a round number that gives at most about twenty ticks."""
    if every_step:
        return 1
    distance = 10.0**-6
    for factor in (2, 2.5, 2) * 12:
        if end / distance <= 20:
            break
        distance *= factor
    return distance
