"""The documents keep to the repository: what they name exists, their Python runs, the essay's table is whole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ESSAY = {"Definition": 8, "Remark": 4, "Representation": 3, "Grammar": 5}
MADE_BY_A_RUN = "runs/"


def code_spans(text: str) -> list[str]:
    """What stands in backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def paths(text: str) -> list[str]:
    """Code spans that are paths here (NAME stands for any), with the name of a test behind `::` where there is one."""
    named = [span for span in code_spans(text) if re.fullmatch(r"(?:[\w.-]+/)+[\w.-]*(?:::\w+)?", span)]
    return [name for name in named if not name.startswith(MADE_BY_A_RUN) and "NAME" not in name]


def links(text: str) -> list[str]:
    """Targets of relative links, without their anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]


def exists(path: str) -> bool:
    name, _, test = path.partition("::")
    found = ROOT / name
    return found.exists() and (not test or f"def {test}(" in found.read_text())


@pytest.fixture(params=DOCUMENTS, ids=lambda path: path.name)
def document(request) -> Path:
    return request.param


def test_every_path_exists(document):
    assert [path for path in paths(document.read_text()) if not exists(path)] == []


def test_every_link_leads_somewhere(document):
    assert [link for link in links(document.read_text()) if not (document.parent / link).exists()] == []


def test_a_wrong_path_is_found():
    text = "`grammars/draft.py` `grammars/daft.py` `a/b` `x -> y` `runs/mine`\n```\n`no/such`\n```\n[a](no.md#b)"
    assert [path for path in paths(text) if not exists(path)] == ["grammars/daft.py", "a/b"]
    assert not exists("tests/house/test_docs.py::test_that_is_not_there")
    assert links(text) == ["no.md"]


def test_python_runs_in_order(document):
    path, text = document, document.read_text()
    scope = {"__name__": f"docs_{path.stem}"}
    for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        above = text[: found.start(1)].count("\n")
        exec(compile("\n" * above + found.group(1), str(path), "exec"), scope)


def test_the_index_names_every_document():
    index = (ROOT / "docs" / "index.md").read_text()
    assert {path.name for path in DOCUMENTS} - {"README.md", "index.md"} <= set(links(index))


def test_the_table_of_the_essay_is_whole():
    rows = re.findall(r"^\| (\w+ \d)", (ROOT / "docs" / "essay.md").read_text(), flags=re.MULTILINE)
    assert set(rows) >= {f"{kind} {n}" for kind, count in ESSAY.items() for n in range(1, count + 1)}
    assert len(rows) == len(set(rows))
