"""Make the picture of a placement: workers as boxes, machines as frames, and arrows with the bytes that are sent."""

import textwrap
from collections.abc import Iterator

from antiphon.analysis.placement_summary import Carries, PlacedWorker, PlacementSummary, Stream, bytes_text
from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Picture, Side

LETTERS = 34
"""Maximum length, in letters, of a line in the list of players on a worker."""
LINES = {Carries.VALUES: Line.ZEROTH, Carries.DERIVATIVES: Line.FIRST, Carries.PARAMETERS: Line.PARAMETERS}


def picture_of_placement(summary: PlacementSummary) -> Picture:
    """Return the picture of a placement: workers as boxes, machines as frames, traffic between workers as arrows.

    Equal placements give equal pictures.
    """
    machines = dict.fromkeys(worker.machine for worker in summary.workers if worker.machine)
    marks = tuple(
        Mark(worker.replicas[0], _kind(worker), _lines(worker), frame=worker.machine, tip=_tip(worker))
        for worker in summary.workers
    )
    arrows = tuple(
        Arrow(f"{number}", each.source, each.target, LINES[each.carries], "", bytes_text(each.bytes), returns=returns)
        for number, (each, returns) in enumerate(_streams(summary))
    )
    side = Side("", "", True, marks, arrows, tuple((machine, machine) for machine in machines))
    return Picture(summary.title, summary.notes, (side,), {line: str(carries) for carries, line in LINES.items()})


def _kind(worker: PlacedWorker) -> MarkKind:
    if not worker.hosts:
        return MarkKind.AGENTS
    return MarkKind.REPLICAS if len(worker.replicas) > 1 else MarkKind.WORKER


def _streams(summary: PlacementSummary) -> Iterator[tuple[Stream, bool]]:
    """Yield (traffic from one worker to another, whether its arrow points backwards).

    The arrow points backwards if the receiver is before the sender in the order of the workers. In this order, workers
    that receive nothing come first.
    """
    receiving = {each.target for each in summary.streams}
    order = sorted((worker.replicas[0] for worker in summary.workers), key=lambda name: name in receiving)
    for each in summary.streams:
        yield each, order.index(each.target) < order.index(each.source)


def _lines(worker: PlacedWorker) -> tuple[str, ...]:
    own = worker.contents if worker.contents != [worker.replicas[0]] else []
    summed = [f"sum over all: {bytes_text(worker.summed)}"] if worker.summed else []
    return (worker.name, *_wrapped(own), *worker.asks, *summed)


def _wrapped(words: list[str]) -> list[str]:
    text = ", ".join(word.replace(" ", "\xa0") for word in words)  # no line ends within a word
    lines = textwrap.wrap(text, LETTERS, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _tip(worker: PlacedWorker) -> str:
    asks = "; ".join(worker.asks) or "nothing"
    return f"{', '.join(worker.replicas)}: {', '.join(_lines(worker)[1:])}; asks for {asks}"
