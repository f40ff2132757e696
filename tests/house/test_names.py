"""The names that users import: few at the top, and no two alike."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import antiphon

FOLDERS = ("agents", "coordinator", "deploy", "envs", "grammars", "oracles", "transport")
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


def product(root: Path, files: list[Path]) -> dict[str, ast.Module]:
    """The parsed modules of the wheel, by their dotted names; the commands are left out, which are called as typed."""
    found = {}
    for path in files:
        folder, *rest = path.relative_to(root).with_suffix("").parts
        if path.suffix == ".py" and folder in {*FOLDERS, "antiphon"} and rest and rest[0] != "cli":
            parts = [folder, *rest] if folder == "antiphon" else ["antiphon", folder, *rest]
            found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def modules_of_one_name(modules: Mapping[str, ast.Module]) -> list[list[str]]:
    """Modules that share their last name, unless one is built on the other: then their subject is the same."""
    alike: dict[str, list[str]] = {}
    for name in modules:
        alike.setdefault(name.rpartition(".")[2], []).append(name)
    return [names for names in alike.values() if len(names) > 1 and not is_one_subject(names, modules)]


def is_one_subject(names: list[str], modules: Mapping[str, ast.Module]) -> bool:
    """Whether imports connect all these modules."""
    reached, left = {names[0]}, set(names[1:])
    while near := {name for name in left if any(imports(modules, name, each) for each in reached)}:
        reached, left = reached | near, left - near
    return not left


def imports(modules: Mapping[str, ast.Module], one: str, other: str) -> bool:
    """Whether one of two modules imports the other, a module inside of it, or the object that it is named after."""
    return any(
        f"{found}.".startswith(f"{target}.")
        for name, target in ((one, other), (other, one))
        for found in named(modules[name])
    )


def named(tree: ast.Module) -> Iterator[str]:
    """What a module imports with `from`, and what it names in a text, as "module:object"."""
    for each in ast.walk(tree):
        if isinstance(each, ast.ImportFrom):
            yield from (f"{each.module}.{alias.name}" for alias in each.names)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value.partition(":")[0]


def classes_of_one_name(modules: Mapping[str, ast.Module]) -> list[str]:
    """Names of public classes that stand in several modules."""
    classes = [each.name for tree in modules.values() for each in tree.body if isinstance(each, ast.ClassDef)]
    return sorted(name for name, times in Counter(classes).items() if times > 1 and not name.startswith("_"))


def test_no_two_modules_or_public_classes_share_a_name(root, files):
    modules = product(root, files)
    assert len(modules) > 200
    assert modules_of_one_name(modules) == []
    assert classes_of_one_name(modules) == []


@pytest.mark.parametrize(("above", "alike"), [("from antiphon.a.same import X", []), ("", [["a.same", "b.same"]])])
def test_a_collision_is_found(above, alike):
    modules = {"antiphon.a.same": ast.parse("class X: ..."), "antiphon.b.same": ast.parse(f"{above}\nclass X: ...")}
    assert modules_of_one_name(modules) == [[f"antiphon.{name}" for name in names] for names in alike]
    assert classes_of_one_name(modules) == ["X"]
