"""Boxes and curves on the paper, in points, y downwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """An upright rectangle, from its left upper corner."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, center: Point, width: float, height: float) -> "Box":
        """The box of this size about a point."""
        return cls(center[0] - width / 2, center[1] - height / 2, width, height)

    @property
    def right(self) -> float:
        """The x of its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower edge."""
        return self.y + self.height

    @property
    def center(self) -> Point:
        """Its middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> "Box":
        """The same box elsewhere."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, margin: float) -> "Box":
        """The box with a margin on every side; a negative one shrinks it."""
        return Box(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def meets(self, other: "Box") -> bool:
        """Whether the two have more than an edge in common.

        >>> Box(0, 0, 2, 2).meets(Box(1, 1, 2, 2)), Box(0, 0, 2, 2).meets(Box(2, 0, 2, 2))
        (True, False)
        """
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around some. Raises ValueError for none."""
    every = list(boxes)
    x, y = min(each.x for each in every), min(each.y for each in every)
    return Box(x, y, max(each.right for each in every) - x, max(each.bottom for each in every) - y)


def meetings(boxes: Sequence[tuple[str, Box]]) -> Iterator[tuple[str, str]]:
    """The names of every two boxes that overlap."""
    for (one, first), (other, second) in combinations(boxes, 2):
        if first.meets(second):
            yield one, other


@dataclass(frozen=True)
class Curve:
    """A chain of cubic Bezier curves: 3 n + 1 points; `end` is where its arrow's point is."""

    points: tuple[Point, ...]
    end: Point

    def moved(self, dx: float, dy: float) -> "Curve":
        """The same curve elsewhere."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Curve(points, (self.end[0] + dx, self.end[1] + dy))

    @property
    def middle(self) -> tuple[Point, Point]:
        """Its middle, and the direction there (not of unit length)."""
        pieces = (len(self.points) - 1) // 3
        start = 3 * (pieces // 2) if pieces % 2 else 3 * (pieces // 2) - 3
        a, b, c, d = self.points[start : start + 4]
        if pieces % 2 == 0:
            return d, (d[0] - c[0], d[1] - c[1])
        x, y = ((a[i] + 3 * b[i] + 3 * c[i] + d[i]) / 8 for i in (0, 1))
        u, v = (d[i] + c[i] - b[i] - a[i] for i in (0, 1))
        return (x, y), (u, v)
