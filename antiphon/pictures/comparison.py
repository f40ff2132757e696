"""Draw the differences of two grammars in one picture: of their Query graphs (Q) and of their Response graphs (R)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from antiphon.grammars.walks import reached
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Picture, Side

_ENDS = {MarkKind.CUT, MarkKind.FROZEN, MarkKind.HELD}
"""The marks at the ends of gradients that are not sent."""

CHAIN_RULE = "chain-rule"
"""The name that, in place of another grammar's name, compares a grammar with the chain rule on its Query graph."""


def compared(ours: Picture, theirs: Picture) -> Picture:
    """Return a picture that shows how the picture `ours` differs from the picture `theirs`.

    Marks (drawn nodes) and arrows that only `ours` has are shown as added. Those that only `theirs` has are shown as
    removed. Items with equal ids correspond. If only `ours` cuts a gradient, the arrow in `theirs` is shown as removed.
    """
    title = f"{ours.title} against {theirs.title}"
    sides = tuple(_compared(*pair) for pair in zip(ours.sides, theirs.sides, strict=True))
    words = {Change.ADDED: "not in", Change.REMOVED: "only in", Change.OTHER: "different in"}
    legend: dict[MarkKind | Line | Change, str] = {change: f"{how} {theirs.title}" for change, how in words.items()}
    return Picture(title, tuple(map(_summary, sides)), sides, legend)


def differences(picture: Picture) -> Iterator[str]:
    """Yield one line of text for each mark (drawn node) and arrow of a comparison that is added, removed or changed."""
    signs = {Change.ADDED: "+", Change.REMOVED: "-", Change.OTHER: "~"}
    for side in picture.sides:
        for item in (*side.marks, *side.arrows):
            if item.change is not Change.SAME:
                yield f"{side.letter} {signs[item.change]} {_words(item, side.letter)}"


def _words(item: Mark | Arrow, letter: str) -> str:
    if isinstance(item, Mark):
        return f"{item.kind}: {item.tip}"
    ends = f"{item.source.removeprefix(f'{letter} ')} -> {item.target.removeprefix(f'{letter} ')}"
    return f"{ends}: {item.text}" if item.text else ends


def _summary(side: Side) -> str:
    words = {Change.ADDED: "more", Change.REMOVED: "less", Change.OTHER: "changed"}
    differing = [
        f"{count} {noun}{'s' if count > 1 else ''} {word}"
        for noun, items in (("mark", side.marks), ("arrow", side.arrows))
        for change, word in words.items()
        if (count := sum(item.change is change for item in items))
    ]
    return f"{side.letter}: {', '.join(differing) or 'the same'}"


def _compared(ours: Side, theirs: Side) -> Side:
    ours, theirs = _uncut(ours, theirs), _unsummed(_uncut(theirs, ours), ours)
    arrows = [_arrow(arrow, theirs) for arrow in ours.arrows]
    known = {arrow.id for arrow in arrows}
    marks = [_mark(mark, theirs.by_id.get(mark.id)) for mark in ours.marks]
    removed = [arrow for arrow in theirs.arrows if arrow.id not in known]
    gone = [replace(arrow, change=Change.REMOVED) for arrow in removed if not _bridged(arrow, marks, arrows)]
    marks += _removed(ours, theirs)
    return replace(ours, marks=tuple(marks), arrows=(*arrows, *gone))


def _uncut(side: Side, other: Side) -> Side:
    """Return a copy of `side` without those cuts of gradients that `other` does not have.

    Where `other` sends the gradient, the comparison shows that arrow as added or removed, instead of the cut.
    """
    known = {arrow.id for arrow in other.arrows}
    arrows = tuple(arrow for arrow in side.arrows if arrow.line is not Line.CUT or arrow.id in known)
    ends = {arrow.target for arrow in arrows}
    marks = tuple(mark for mark in side.marks if mark.kind not in _ENDS or mark.id in ends)
    return replace(side, marks=marks, arrows=arrows)


def _unsummed(side: Side, other: Side) -> Side:
    """Return a copy of `side` without those sums that `other` does not have.

    Each arrow to such a sum is replaced by arrows to the marks (drawn nodes) that take the sum.
    """
    for mark in side.marks:
        if mark.kind is MarkKind.SUM and mark.id not in other.by_id:
            readers = [arrow for arrow in side.arrows if arrow.source == mark.id]
            direct = [
                replace(arrow, id=f"{arrow.id.split(' > ')[0]} > {reader.id.split(' > ')[1]}", target=reader.target)
                for arrow in side.arrows
                for reader in readers
                if arrow.target == mark.id
            ]
            others = [arrow for arrow in side.arrows if mark.id not in (arrow.source, arrow.target)]
            marks = tuple(each for each in side.marks if each is not mark)
            side = replace(side, marks=marks, arrows=(*others, *direct))
    return side


def _mark(mark: Mark, other: Mark | None) -> Mark:
    if other is None:
        return replace(mark, change=Change.ADDED)
    return mark if (mark.kind, mark.what) == (other.kind, other.what) else replace(mark, change=Change.OTHER)


def _arrow(arrow: Arrow, theirs: Side) -> Arrow:
    other = next((each for each in theirs.arrows if each.id == arrow.id), None)
    if other is None:
        return replace(arrow, change=Change.ADDED)
    alike = (arrow.line, arrow.shape) == (other.line, other.shape)
    return arrow if alike else replace(arrow, change=Change.OTHER)


def _removed(ours: Side, theirs: Side) -> Iterator[Mark]:
    """Yield the marks (drawn nodes) that only `theirs` has, shown as removed.

    Such a mark keeps its position beside another mark if no mark of `ours` has this position. It keeps its frame if
    `ours` has the frame.
    """
    taken = {mark.beside for mark in ours.marks}
    drawn = {frame for frame, _ in ours.frames}
    for mark in theirs.marks:
        if mark.id not in ours.by_id:
            beside = mark.beside if mark.beside not in taken else ""
            yield replace(mark, change=Change.REMOVED, beside=beside, frame=mark.frame if mark.frame in drawn else "")


def _bridged(arrow: Arrow, marks: Iterable[Mark], arrows: Iterable[Arrow]) -> bool:
    """Return whether a path of added arrows and marks leads from the source of a removed arrow to its target."""
    added = {mark.id for mark in marks if mark.change is Change.ADDED}
    onward = [(each.source, each.target) for each in arrows if each.change is Change.ADDED]
    steps = [(source, target) for source, target in onward if target in added]
    way = reached([arrow.source], lambda mark: [target for source, target in steps if source == mark])
    return any((mark, arrow.target) in onward for mark in way & added)
