"""Rectangles and curves of a picture. Coordinates are in points (1/72 inch), with y downwards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import hypot
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
HEAD = 8.0
"""Distance from the end of an arrow's line to the tip of its head."""


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with horizontal and vertical sides. (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, center: Point, width: float, height: float) -> "Rectangle":
        """Return the rectangle with the given center and size."""
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
        """The center of the rectangle, as (x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> "Rectangle":
        """Return a copy of the rectangle, shifted by dx and dy."""
        return Rectangle(self.x + dx, self.y + dy, self.width, self.height)

    def grown(self, margin: float) -> "Rectangle":
        """Return a copy of the rectangle, enlarged by a margin on every side. A negative margin makes it smaller."""
        return Rectangle(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)

    def meets(self, other: "Rectangle") -> bool:
        """Return whether two rectangles overlap. Rectangles that only share an edge do not overlap.

        >>> Rectangle(0, 0, 2, 2).meets(Rectangle(1, 1, 2, 2)), Rectangle(0, 0, 2, 2).meets(Rectangle(2, 0, 2, 2))
        (True, False)
        """
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


def union(boxes: Iterable[Rectangle]) -> Rectangle:
    """Return the smallest rectangle that contains all given rectangles. Raises ValueError if there are none."""
    every = list(boxes)
    x, y = min(each.x for each in every), min(each.y for each in every)
    return Rectangle(x, y, max(each.right for each in every) - x, max(each.bottom for each in every) - y)


def meetings(boxes: Sequence[tuple[str, Rectangle]]) -> Iterator[tuple[str, str]]:
    """Yield the two names of each pair of rectangles that overlap. boxes: (name, rectangle)."""
    for (one, first), (other, second) in combinations(boxes, 2):
        if first.meets(second):
            yield one, other


@dataclass(frozen=True)
class Curve:
    """The line of an arrow: a chain of n cubic Bezier curves, as 3 n + 1 points. end: the tip of the arrowhead."""

    points: tuple[Point, ...]
    end: Point

    @classmethod
    def straight(cls, begin: Point, end: Point) -> "Curve":
        """Return the straight line of an arrow from `begin` to `end`, shortened to leave room for the arrowhead."""
        (x, y), (u, v) = begin, end
        rest = 1 - HEAD / hypot(u - x, v - y)
        steps = [rest * third / 3 for third in range(4)]
        return cls(tuple((x + (u - x) * step, y + (v - y) * step) for step in steps), end)

    def moved(self, dx: float, dy: float) -> "Curve":
        """Return a copy of the curve, shifted by dx and dy."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Curve(points, (self.end[0] + dx, self.end[1] + dy))

    @property
    def middle(self) -> tuple[Point, Point]:
        """The middle point of the curve, and the direction of the curve at that point (not of unit length)."""
        pieces = (len(self.points) - 1) // 3
        start = 3 * ((pieces - 1) // 2)
        a, b, c, d = (complex(x, y) for x, y in self.points[start : start + 4])
        if pieces % 2 == 0:
            middle, way = d, d - c
        else:
            middle, way = (a + 3 * b + 3 * c + d) / 8, d + c - b - a
        return (middle.real, middle.imag), (way.real, way.imag)
