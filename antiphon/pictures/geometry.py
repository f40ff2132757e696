"""Boxes and curves on the page. Coordinates are in points, with y downwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with horizontal and vertical sides. (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, center: Point, width: float, height: float) -> "Rectangle":
        """The box of this size around a center."""
        return cls(center[0] - width / 2, center[1] - height / 2, width, height)

    @property
    def right(self) -> float:
        """The x coordinate of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y coordinate of the lower edge."""
        return self.y + self.height

    @property
    def center(self) -> Point:
        """The center of the box."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> "Rectangle":
        """The box, shifted."""
        return Rectangle(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, margin: float) -> "Rectangle":
        """The box, enlarged by a margin on every side. A negative margin shrinks it."""
        return Rectangle(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def meets(self, other: "Rectangle") -> bool:
        """Whether the two boxes overlap. Boxes that only share an edge do not.

        >>> Rectangle(0, 0, 2, 2).meets(Rectangle(1, 1, 2, 2)), Rectangle(0, 0, 2, 2).meets(Rectangle(2, 0, 2, 2))
        (True, False)
        """
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


def union(boxes: Iterable[Rectangle]) -> Rectangle:
    """The smallest box that contains all boxes. Raises ValueError if there are none."""
    every = list(boxes)
    x, y = min(each.x for each in every), min(each.y for each in every)
    return Rectangle(x, y, max(each.right for each in every) - x, max(each.bottom for each in every) - y)


def meetings(boxes: Sequence[tuple[str, Rectangle]]) -> Iterator[tuple[str, str]]:
    """The names of each pair of boxes that overlap."""
    for (one, first), (other, second) in combinations(boxes, 2):
        if first.meets(second):
            yield one, other


@dataclass(frozen=True)
class Curve:
    """A chain of n cubic Bezier curves, as 3 n + 1 points. `end` is the tip of the arrowhead."""

    points: tuple[Point, ...]
    end: Point

    def moved(self, dx: float, dy: float) -> "Curve":
        """The curve, shifted."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Curve(points, (self.end[0] + dx, self.end[1] + dy))

    @property
    def middle(self) -> tuple[Point, Point]:
        """The middle of the curve, and the direction there (not normalized)."""
        pieces = (len(self.points) - 1) // 3
        start = 3 * (pieces // 2) if pieces % 2 else 3 * (pieces // 2) - 3
        a, b, c, d = self.points[start : start + 4]
        if pieces % 2 == 0:
            return d, (d[0] - c[0], d[1] - c[1])
        x, y = ((a[i] + 3 * b[i] + 3 * c[i] + d[i]) / 8 for i in (0, 1))
        u, v = (d[i] + c[i] - b[i] - a[i] for i in (0, 1))
        return (x, y), (u, v)
