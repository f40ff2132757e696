"""Write a picture as a Mermaid flowchart, which code hosts and notebooks render in Markdown."""

import json
import re

from antiphon.pictures.picture import Arrow, Change, Line, Mark, MarkKind, Picture

BRACKETS = {
    MarkKind.PLAYER: ("([", "])"),
    MarkKind.CLONE: ("([", "])"),
    MarkKind.BLACK: ("[", "]"),
    MarkKind.GRAY: ("[[", "]]"),
    MarkKind.NOISE: ("[(", ")]"),
    MarkKind.OPERATOR: ("(", ")"),
    MarkKind.SCAN: ("(", ")"),
    MarkKind.LOSS: ("{{", "}}"),
    MarkKind.SEED: ("[\\", "/]"),
    MarkKind.PRODUCT: ("((", "))"),
    MarkKind.THROUGH_TIME: ("((", "))"),
    MarkKind.TRUNCATED: ("((", "))"),
    MarkKind.TAP: (">", "]"),
    MarkKind.MINUS: ("(((", ")))"),
    MarkKind.SUM: ("((", "))"),
    MarkKind.SCALE: ("[\\", "/]"),
    MarkKind.MATRIX: ("[[", "]]"),
    MarkKind.MAP: ("[/", "/]"),
    MarkKind.BYPASS: ("[\\", "\\]"),
    MarkKind.BROADCAST: ("[/", "\\]"),
    MarkKind.CUT: ("((", "))"),
    MarkKind.FROZEN: ("((", "))"),
    MarkKind.HELD: ("((", "))"),
    MarkKind.WORKER: ("(", ")"),
    MarkKind.REPLICAS: ("[[", "]]"),
    MarkKind.AGENTS: ("(", ")"),
}
_WORDS = re.compile(r"[A-Za-z][\w .,()/+-]*")
LINKS = {Line.ZEROTH: "-->", Line.FIRST: "==>", Line.PARAMETERS: "-.-o", Line.CUT: "--x"}
CLASSES = (
    "classDef black fill:#1d222b,color:#fff,stroke:#1d222b",
    "classDef clone stroke-dasharray:4 3",
    "classDef added stroke-width:4px",
    "classDef removed stroke-dasharray:6 4,opacity:0.6",
    "classDef other stroke-width:4px,stroke-dasharray:1 4",
)


def mermaid_of(picture: Picture) -> str:
    """Return a picture as a Mermaid flowchart. The Query graph and the Response graph are two subgraphs."""
    lines = ["---", f"title: {_scalar(picture.title)}", "---", "flowchart LR"]
    for side in picture.sides:
        names = {mark.id: f"{side.letter}{number}" for number, mark in enumerate(side.marks)}
        lines.append(f'  subgraph {side.letter} ["{side.letter}: {_plain(side.title)}"]')
        lines.append(f"    direction {'BT' if side.upward else 'TB'}")
        lines += [f"    {_node(mark, names[mark.id])}" for mark in side.marks]
        lines += [f"    {_link(arrow, names[arrow.source], names[arrow.target])}" for arrow in side.arrows]
        lines.append("  end")
    lines.append("  Q ~~~ R")  # an invisible link that keeps Q on the left
    return "\n".join([*lines, *(f"  {each}" for each in CLASSES)]) + "\n"


def _node(mark: Mark, name: str) -> str:
    opening, closing = BRACKETS[mark.kind]
    said = [*([mark.sign] if mark.sign else []), *mark.lines] or [str(mark.kind)]
    known = {MarkKind.BLACK: "black", MarkKind.CLONE: "clone"}
    kind = str(mark.change) if mark.change is not Change.SAME else known.get(mark.kind, "")
    return f'{name}{opening}"{"<br/>".join(map(_plain, said))}"{closing}' + (f":::{kind}" if kind else "")


def _link(arrow: Arrow, source: str, target: str) -> str:
    label = f'|"{_plain(arrow.text)}"|' if arrow.text else ""
    return f"{source} {LINKS[arrow.line]}{label} {target}"


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted if needed. The title of a Mermaid flowchart is written in YAML."""
    return _plain(text) if _WORDS.fullmatch(text) else json.dumps(_plain(text), ensure_ascii=False)


def _plain(text: str) -> str:
    """Return a text in which Mermaid's special characters are replaced by entities."""
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", ";": "#59;", "*": "#42;", "`": "#96;", "&": "#amp;"}
    return "".join(codes.get(letter, letter) for letter in text)
