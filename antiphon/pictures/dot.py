"""Write a picture of a grammar in the DOT language of Graphviz."""

from antiphon.pictures.picture import Arrow, Line, Mark, MarkKind, Picture, Side

SHAPES = {
    MarkKind.PLAYER: "shape=box, style=rounded, penwidth=2",
    MarkKind.CLONE: 'shape=box, style="rounded,dashed", peripheries=2',
    MarkKind.BLACK: "shape=box, style=filled, fillcolor=black, fontcolor=white",
    MarkKind.GRAY: "shape=box, style=filled, fillcolor=gray80",
    MarkKind.NOISE: "shape=note",
    MarkKind.OPERATOR: "shape=box",
    MarkKind.SCAN: "shape=box, peripheries=2",
    MarkKind.LOSS: "shape=hexagon, peripheries=2",
    MarkKind.SEED: "shape=invtriangle",
    MarkKind.PRODUCT: "shape=ellipse",
    MarkKind.THROUGH_TIME: "shape=ellipse, peripheries=2",
    MarkKind.TRUNCATED: "shape=ellipse, peripheries=2, style=dashed",
    MarkKind.TAP: "shape=cds",
    MarkKind.MINUS: "shape=circle, penwidth=3",
    MarkKind.SUM: "shape=circle",
    MarkKind.SCALE: "shape=invtrapezium",
    MarkKind.MATRIX: "shape=tab",
    MarkKind.MAP: "shape=parallelogram",
    MarkKind.BYPASS: "shape=parallelogram, peripheries=2",
    MarkKind.BROADCAST: "shape=box, style=filled, fillcolor=black, fontcolor=white, height=0.2",
    MarkKind.CUT: "shape=plaintext",
    MarkKind.FROZEN: "shape=star",
    MarkKind.HELD: "shape=underline",
    MarkKind.WORKER: "shape=box, style=rounded",
    MarkKind.REPLICAS: "shape=box3d",
    MarkKind.AGENTS: 'shape=box, style="rounded,dashed"',
}
LINES = {
    Line.ZEROTH: "arrowhead=normal",
    Line.FIRST: 'color="black:invis:black", arrowhead=vee',
    Line.PARAMETERS: "style=dotted, arrowhead=dot",
    Line.CUT: 'color="black:invis:black", style=dashed, arrowhead=tee',
}


def dot_of(picture: Picture) -> str:
    """Return a picture as text in the DOT language. The Query graph and the Response graph are two clusters."""
    lines = ["digraph {", f"  graph [label={_quoted(picture.title)}, labelloc=t, rankdir=BT]"]
    for side in picture.sides:
        lines += _side(side)
    return "\n".join([*lines, "}"]) + "\n"


def _side(side: Side) -> list[str]:
    names = {mark.id: _quoted(mark.id) for mark in side.marks}
    inside = [f"    {names[mark.id]} [{_node(mark)}]" for mark in side.marks]
    inside += [f"    {_edge(arrow, names, side.upward)}" for arrow in side.arrows]
    title = _quoted(f"{side.letter}: {side.title}")
    return [f"  subgraph cluster{side.letter} {{", f"    label={title}", *inside, "  }"]


def _node(mark: Mark) -> str:
    lines = "\n".join(mark.lines)
    text = f"{mark.sign} {lines}".strip(" ") or str(mark.kind)
    return f"label={_quoted(f'{mark.change.sign} {text}'.strip(' '))}, {SHAPES[mark.kind]}"


def _edge(arrow: Arrow, names: dict[str, str], upward: bool) -> str:
    """Return an arrow of a picture as an edge in DOT.

    upward: whether the arrow's graph is read upwards. If not, the edge is written in reverse, because a DOT graph has
    one direction only.
    """
    text = f"{arrow.change.sign} {arrow.text}".strip()
    look = LINES[arrow.line] if upward else LINES[arrow.line].replace("arrowhead", "dir=back, arrowtail")
    ends = (arrow.source, arrow.target) if upward else (arrow.target, arrow.source)
    label = f"label={_quoted(text)}, " if text else ""
    return f"{names[ends[0]]} -> {names[ends[1]]} [{label}{look}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
