"""A run folder is data: what its experiment names is not run, unless the user allows it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.errors import ExperimentError
from antiphon.experiments.experiment import Experiment
from antiphon.plugins import find, refuse_foreign
from antiphon.runs.evaluation import evaluate_folder

PROOF = "ran.txt"
THEIRS = f"""
from pathlib import Path
import gymnasium
Path({PROOF!r}).write_text("foreign code ran")

def make(**keywords):
    return gymnasium.make("Pendulum-v1", **keywords)
"""
NAMING = [
    ("agent.agent", "theirs:Agent"),
    ("players.Dense1.agent", "theirs:Agent"),
    ("backprop.data", "theirs:data"),
    ("grammar", "theirs:data"),
    ("dac.environment", "theirs:Env-v0"),
    ("dac.environment", "theirs:/Env-v0"),
    ("dac.environment", "theirs://Env-v0"),
    ("dac.environment", "theirs.my-module:Env-v0"),
    ("placement.of.Dense1.runtime_env", {"pip": ["theirs"]}),
    ("arguments.inside", "theirs:data"),
]


@pytest.fixture
def trained(antiphon: Callable, place: Path) -> Path:
    assert antiphon("run", "backprop", "--rounds=2", "--set=backprop.widths=[8]", "--out=run").code == 0
    (place / "theirs.py").write_text(THEIRS)
    return place / "run"


def test_a_folder_of_the_library_is_evaluated(antiphon: Callable, trained: Path):
    assert antiphon("evaluate", str(trained)).code == 0


@pytest.mark.parametrize("command", [["evaluate"], ["resume"], ["export", "--player=Dense1"]], ids=" ".join)
@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('agent = {agent = "theirs:Agent"}', "agent.agent"),
        ('backprop = {data = "theirs:data"}', "backprop.data"),
        ('grammar = "theirs:data"', "grammar"),
        ('grammar = "os:system"', "grammar"),
    ],
)
def test_code_that_a_folder_names_does_not_run(
    antiphon: Callable, trained: Path, line: str, key: str, command: list[str]
):
    own = [] if key == "grammar" else ['grammar = "backprop"']
    (trained / "experiment.toml").write_text("\n".join([*own, line]))
    told = antiphon(*command, str(trained))
    module = line.split('"')[-2].partition(":")[0]
    assert told.code == 2
    assert f"key {key!r} is '{module}:" in told.error and f"--allow {module}" in told.error
    assert not (trained.parent / PROOF).exists()


def test_a_module_that_the_user_allows_runs(antiphon: Callable, place: Path, tiny_dac: list[str]):
    """Also without asking, at the end of the run that the user starts."""
    (place / "theirs.py").write_text(THEIRS)
    assert antiphon("run", *tiny_dac, "--set=dac.environment=theirs:make", "--out=run").code == 0
    (place / PROOF).unlink()
    del sys.modules["theirs"]
    assert "--allow theirs" in antiphon("evaluate", "run").error
    assert not (place / PROOF).exists()
    assert antiphon("evaluate", "run", "--allow", "theirs").code == 0
    assert (place / PROOF).exists()


@pytest.mark.parametrize(("key", "value"), NAMING, ids=lambda each: str(each))
def test_every_place_that_names_code_is_found(key: str, value: object):
    table: dict = {}
    *above, last = key.split(".")
    inner = table
    for part in above:
        inner = inner.setdefault(part, {})
    inner[last] = value if last != "inside" else ["harmless", value]
    with pytest.raises(ExperimentError) as caught:
        refuse_foreign("theirs", table, ["others", "their"])
    assert f"key {key!r} is {value!r}" in str(caught.value)
    refuse_foreign("theirs", table, ["theirs", "runtime_env"])


def test_names_of_the_library_of_plugins_and_addresses_are_no_code():
    plain = Experiment(grammar="backprop").model_dump(exclude_none=True)
    more = {"dac": {"environment": "Pendulum-v1"}, "checkpoint_folder": "s3://bucket/run"}
    refuse_foreign("run", plain | more, [])
    refuse_foreign("run", {"agent": {"agent": "a.b:C"}}, ["a"])


def test_a_dotted_name_imports_nothing():
    with pytest.raises(ExperimentError, match="names no module; expected 'module:name'"):
        find("function", "os.system")


def test_evaluation_from_python_takes_what_it_allows(trained: Path):
    (trained / "experiment.toml").write_text('grammar = "backprop"\nagent = {agent = "theirs:Agent"}')
    with pytest.raises(ExperimentError, match="--allow theirs"):
        evaluate_folder(trained)
