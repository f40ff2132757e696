"""Write docs/gallery.md and its pictures of all library grammars: `python -m antiphon.pictures.gallery [docs]`."""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from antiphon.analysis.placement_summary import placement_summary
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.unsent import plain_chain_rule
from antiphon.pictures.drawing import Drawing, draw, draw_edits
from antiphon.pictures.legend import legend
from antiphon.pictures.of_placement import picture_of_placement
from antiphon.pictures.svg import svg_of
from antiphon.recipes import LIBRARY, recipe_of

HEAD = """# Gallery

Every grammar of the library, as `antiphon show NAME --out NAME.svg` draws it; and, where R is not the chain rule, what
its edits changed, as `--against chain-rule` does. What the marks and the lines stand for is in
[pictures.md](pictures.md). This page is made by `make gallery`, and a test holds it to the library.
"""


PLACEMENT = """
[placement]
strategy = "spread"
fuse = [["Actor", "Deviator"]]

[placement.of.Nature]
node = "10.0.0.1"

[placement.of.Noise]
node = "10.0.0.1"

[placement.of.Actor]
num_gpus = 0.5

[placement.of.Critic]
num_cpus = 2
num_gpus = 1
replicas = 3
node = { zone = "a" }
remote_agent = { num_cpus = 1, runtime_env = { env_vars = { RATE = "0.01" } } }
"""
"""The placement of the grammar `dac` that is the example in docs/placement.md."""


def library() -> Mapping[str, Grammar]:
    """Build all grammars of the library and the variants that their recipes name. Returns the grammars by name."""
    found = {name: read_experiment(name).build() for name in LIBRARY}
    for name in LIBRARY:
        recipe = recipe_of(name)
        variants = recipe.variants if recipe else {}
        found |= {variant: read_experiment(name, changes).build() for variant, changes in variants.items()}
    return dict(sorted(found.items()))


def gallery() -> Mapping[str, str]:
    """Return the content of every file of the gallery, by the file's path under docs/."""
    placement = picture_of_placement(placement_summary(read_experiment("dac", tomllib.loads(PLACEMENT))))
    found: dict[str, str] = {
        "gallery/legend.svg": legend(),
        "gallery/placement.svg": svg_of(placement),
    }
    sections = [HEAD]
    for name, grammar in library().items():
        drawings = dict(_drawings(name, grammar))
        found |= {f"gallery/{file}.svg": drawing.svg for file, drawing in drawings.items()}
        sections.append(_section(name, grammar, drawings))
    return {"gallery.md": "\n".join(sections), **found}


def _drawings(name: str, grammar: Grammar) -> Iterator[tuple[str, Drawing]]:
    yield name, draw(grammar)
    if plain_chain_rule(grammar.query, grammar.objective) is None:
        return  # the chain rule needs a gradient of a black box
    edits = draw_edits(grammar)
    if edits.differences:
        yield f"{name}-edits", edits


def _section(name: str, grammar: Grammar, drawings: Mapping[str, Drawing]) -> str:
    lines = [f"## {name}", "", f"To {grammar.objective!r}. Guarantee: {grammar.guarantee!r}.", ""]
    for file, drawing in drawings.items():
        lines += [f"![{drawing.picture.title}](gallery/{file}.svg)", ""]
    return "\n".join(lines)


def write(docs: Path) -> None:
    """Write every file of the gallery into the folder `docs`. Delete pictures of grammars that no longer exist."""
    texts = gallery()
    (docs / "gallery").mkdir(exist_ok=True)
    for path in sorted((docs / "gallery").glob("*.svg")):
        if f"gallery/{path.name}" not in texts:
            path.unlink()
    for name, text in texts.items():
        (docs / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
