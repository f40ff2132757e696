"""The README is executed: its Python runs, its commands exist."""

import os
import re
import shlex
import subprocess
import sys

import pytest

MAIN = "import sys; sys.argv[0] = 'antiphon'; from antiphon.cli.app import main; main()"


@pytest.fixture(scope="module")
def readme(root) -> str:
    path = root / "README.md"
    if not path.is_file():
        pytest.fail("README.md is missing: it is the project's description and its blocks are executed here")
    return path.read_text()


def blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks of this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The commands of the console blocks, split into words; a line ending in a backslash goes on."""
    joined = "\n".join(blocks(text, "console")).replace("\\\n", " ")
    return [shlex.split(line[2:], comments=True) for line in joined.splitlines() if line.startswith("$ ")]


def python(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    wide = {**os.environ, "COLUMNS": "240", "TERM": "dumb", "NO_COLOR": "1"}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=cwd, env=wide, capture_output=True, text=True, timeout=150)


@pytest.mark.slow
def test_the_python_blocks_run_in_order_as_a_program(readme, tmp_path):
    """With a Ray of its own, and all that it defines in __main__; test_docs runs them in this process."""
    program = tmp_path / "readme.py"
    program.write_text("\n".join(blocks(readme, "python")))
    assert program.read_text().strip(), "README.md has no ```python block"
    done = python(str(program), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_commands_and_their_options_exist(readme, tmp_path):
    named: dict[str, set[str]] = {}
    for program, *words in commands(readme):
        if program == "antiphon" and words:
            options = {word.split("=")[0] for word in words if word.startswith("--")}
            named.setdefault(words[0], set()).update(options)
    assert named, "README.md has no `$ antiphon ...` line in a ```console block"
    for command, options in named.items():
        done = python("-c", MAIN, *([] if command.startswith("-") else [command]), "--help", cwd=tmp_path)
        assert done.returncode == 0, f"antiphon {command} --help: {done.stderr}"
        missing = sorted(option for option in options if not re.search(rf"{option}\b", done.stdout))
        assert not missing, f"antiphon {command} has no {', '.join(missing)}"


def test_the_make_targets_exist(readme, root):
    targets = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        word for line in commands(readme) if line[0] == "make" for word in line[1:] if re.fullmatch(r"[\w-]+", word)
    }
    assert named <= targets
    assert {"demo", "test"} <= named, "README.md tells how to run the demonstration and the tests"
