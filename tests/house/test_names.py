"""The names that users import: few at the top, and no two alike."""

import re
from pathlib import Path

import antiphon

AT_MOST = 60
DOCUMENTED = ("README.md", "docs/*.md", "examples/**/*.py", "examples/**/*.md")


def typed_by_users(root: Path) -> set[str]:
    """The names of `antiphon` that the README, the documents and the examples use."""
    text = "\n".join(path.read_text() for pattern in DOCUMENTED for path in sorted(root.glob(pattern)))
    imported = " ".join(re.findall(r"^from antiphon import (.+)$", text, flags=re.MULTILINE))
    return {*re.findall(r"\bantiphon\.(\w+)", text), *re.findall(r"\w+", imported)}


def test_the_names_at_the_top_are_few_and_all_are_typed_by_users(root):
    names = set(antiphon.__all__) - {"__version__"}
    assert len(names) <= AT_MOST, "import the rarer ones from their folders"
    assert names - typed_by_users(root) == set(), "used in no document and no example: import it from its folder"
