"""Two grammars in one picture: the differences of their Query graphs Q and Response graphs R."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from antiphon.grammars.chain_rule import chain_rule
from antiphon.grammars.grammar import Grammar
from antiphon.pictures.derived import Derived
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Picture, Side

CHAIN_RULE = "chain-rule"
"""Name of the comparison that shows a grammar's edits: against its own Q with the R of the chain rule."""


def compared(grammar: Grammar, other: Grammar | Derived) -> Picture:
    """The picture of `grammar`. Items that only it has are marked as added, items of `other` alone as removed.

    Marks with equal names correspond. A cut shows as a removed arrow.
    """
    ours, theirs = picture_of(grammar), picture_of(other)
    title = f"{ours.title} against {theirs.title}"
    sides = [_compared(*pair) for pair in zip(ours.sides, theirs.sides, strict=True)]
    picture = Picture(title, (), sides[0], sides[1], theirs.title)
    return replace(picture, subtitles=tuple(_summary(side) for side in picture.sides))


def ruled(grammar: Grammar) -> Derived:
    """The same Q with the R of the chain rule. Raises BlackBoxError if it needs a gradient of a black box."""
    response = chain_rule(grammar.query, grammar.objective)
    return Derived("the chain rule", grammar.query, response, grammar.objective)


def differences(picture: Picture) -> Iterator[str]:
    """One line of text for each mark and arrow that differs."""
    signs = {Change.ADDED: "+", Change.REMOVED: "-", Change.OTHER: "~"}
    for side in picture.sides:
        for mark in side.marks:
            if mark.change is not Change.SAME:
                yield f"{side.letter} {signs[mark.change]} {mark.kind}: {mark.tip}"
        for arrow in side.arrows:
            if arrow.change is not Change.SAME:
                ends = (side.by_id[end].id.removeprefix(f"{side.letter} ") for end in (arrow.source, arrow.target))
                said = " ".join(part for part in (arrow.symbol, arrow.shape) if part)
                yield f"{side.letter} {signs[arrow.change]} {' -> '.join(ends)}" + (f": {said}" if said else "")


def _summary(side: Side) -> str:
    marks, arrows = _counted(side.marks, "mark"), _counted(side.arrows, "arrow")
    return f"{side.letter}: {', '.join([*marks, *arrows]) or 'the same'}"


def _counted(items: Iterable[Mark] | Iterable[Arrow], noun: str) -> Iterator[str]:
    changes = [item.change for item in items]
    words = {Change.ADDED: "more", Change.REMOVED: "less", Change.OTHER: "changed"}
    for change, word in words.items():
        if count := changes.count(change):
            yield f"{count} {noun}{'s' if count > 1 else ''} {word}"


def _compared(ours: Side, theirs: Side) -> Side:
    ours, theirs = _uncut(ours, theirs), _unsummed(_uncut(theirs, ours), ours)
    arrows = [_arrow(arrow, theirs) for arrow in ours.arrows]
    known = {arrow.id for arrow in arrows}
    marks = [_mark(mark, theirs.by_id.get(mark.id)) for mark in ours.marks]
    removed = [arrow for arrow in theirs.arrows if arrow.id not in known]
    bridged = _Bridges(marks, arrows)
    gone = [replace(arrow, change=Change.REMOVED) for arrow in removed if not bridged.between(arrow)]
    marks += _removed(ours, theirs)
    return replace(ours, marks=tuple(marks), arrows=(*arrows, *gone))


def _uncut(side: Side, other: Side) -> Side:
    """`side` without the cuts that `other` lacks: there the removed arrow shows the cut."""
    known = {arrow.id for arrow in other.arrows}
    arrows = tuple(arrow for arrow in side.arrows if arrow.line is not Line.CUT or arrow.id in known)
    ends = {arrow.target for arrow in arrows}
    marks = tuple(mark for mark in side.marks if mark.kind is not MarkKind.CUT or mark.id in ends)
    return replace(side, marks=marks, arrows=arrows)


def _unsummed(side: Side, other: Side) -> Side:
    """`side` without the sums that `other` lacks. Their inputs are connected directly to their readers."""
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
    """The marks that only `theirs` has, as removed. Each keeps its place beside another mark if that place is free,
    and its frame if the frame is drawn."""
    taken = {mark.beside for mark in ours.marks}
    drawn = {frame for frame, _ in ours.frames}
    for mark in theirs.marks:
        if mark.id not in ours.by_id:
            beside = mark.beside if mark.beside not in taken else ""
            yield replace(mark, change=Change.REMOVED, beside=beside, frame=mark.frame if mark.frame in drawn else "")


class _Bridges:
    """Finds arrows that are replaced by a path through added marks only. They are not drawn as removed."""

    def __init__(self, marks: Iterable[Mark], arrows: Iterable[Arrow]) -> None:
        self.added = {mark.id for mark in marks if mark.change is Change.ADDED}
        self.onward: dict[str, list[str]] = {}
        for arrow in arrows:
            if arrow.change is Change.ADDED:
                self.onward.setdefault(arrow.source, []).append(arrow.target)

    def between(self, arrow: Arrow) -> bool:
        """Whether a path through added marks leads from the arrow's source to its target."""
        waiting = [each for each in self.onward.get(arrow.source, []) if each in self.added]
        seen: set[str] = set()
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                after = self.onward.get(current, [])
                if arrow.target in after:
                    return True
                waiting += [each for each in after if each in self.added]
        return False
