"""Find the experiment files that come with antiphon, and read the comments in their first two lines."""

import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path


def shipped() -> Mapping[str, Path]:
    """Return the TOML files of the experiments that come with antiphon, by name.

    Each grammar of the library has an experiment of the same name.
    """
    folder = Path(str(importlib.resources.files("antiphon.experiments")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def heading(path: Path) -> str:
    """Return the description of an experiment: the comment in the first line of its TOML file."""
    return _comments(path)[0]


def parts(path: Path) -> tuple[str, str, str]:
    """Return (guarantee, players, oracles) of a grammar, as texts from the second line of its experiment's TOML file.

    Returns empty texts if this line has another form.

    >>> parts(shipped()["dac"])
    ('learned + estimated + exact', 'Actor, Critic, Deviator', 'Nature, Noise')
    """
    found = re.fullmatch(r"guarantee: (.*); players: (.*); oracles: (.*)", _comments(path)[1])
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _comments(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in (*lines[:2], "", "")]
