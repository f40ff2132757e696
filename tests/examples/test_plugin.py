"""The example `plugin`: a distribution of its own, installed, found by name, and equal to what it copies."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import antiphon
from antiphon.coordinator.checkpoint import load_states
from antiphon.errors import ExperimentError
from antiphon.testing import check_agent

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/plugin"
SMALL_DAC = [
    *("dac", "--rounds=60", "--set=rounds_per_report=20", "--set=dac.widths=[8]", "--set=dac.batch=8"),
    *("--set=dac.envs=2", "--set=dac.warmup=4", "--set=dac.learn_from=3", "--set=evaluation.episodes=2"),
]
RATES = ["--set=players.Actor.arguments.lr=0.01", "--set=players.Actor.arguments.momentum=0.9"]
PLUGGED = ["--set=players.Actor.agent=momentum", *RATES]
BUILT_IN = ["--set=players.Actor.optimizer=SGD", *RATES]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder into which the distribution was installed, from a copy of its source, without any index."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(EXAMPLE, folder / "source")
    alone = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *alone, f"--target={folder / 'site'}", str(source)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "site"


@pytest.fixture
def call(home, tmp_path) -> Callable[..., str]:
    """The command line with the distribution on the path, in an empty folder."""

    def run(*arguments: str) -> str:
        path = os.pathsep.join([str(home), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        command = [sys.executable, "-P", "-m", "antiphon", *arguments]
        finished = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def played(folder: Path) -> tuple[list, dict[str, torch.Tensor]]:
    """What was told of the losses, and the Actor's parameters at the end."""
    lines = [json.loads(line)["losses"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (newest,) = (folder / "checkpoints").iterdir()
    return lines, load_states(newest, ["Actor"])["Actor"]["parameters"]


def assert_bitwise_equal(one: Path, other: Path) -> None:
    (losses, actor), (same_losses, same_actor) = played(one), played(other)
    assert losses == same_losses and losses[-1] and actor.keys() == same_actor.keys()
    assert all(torch.equal(actor[name], same_actor[name]) for name in actor)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_installed_and_learns_as_the_optimizer_that_it_copies(call, tmp_path):
    listed = call("list")
    assert all(name in listed for name in ("chorus.momentum:Momentum", "chorus.narrow:narrow", "chorus.thermostat:"))
    call("run", *SMALL_DAC, *BUILT_IN, "--out=built-in")
    call("run", *SMALL_DAC, *PLUGGED, "--out=plugged")
    assert_bitwise_equal(tmp_path / "built-in", tmp_path / "plugged")
    assert "Dense1" in call("show", "narrow") and "narrow" in call("check", "narrow", "--instances=1")
    call("run", "narrow", "--rounds=5", "--set=arguments.width=3", "--out=narrow")
    room = "--set=dac.environment=thermostat"
    told = call("run", *SMALL_DAC, *PLUGGED, room, "--set=dac.keywords.steps=5", "--out=warm")
    assert "return" in told


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_on_ray_beside_its_player_and_apart_it_plays_the_same(call, tmp_path):
    room = ["--set=dac.environment=thermostat", "--set=dac.keywords.steps=5"]
    call("run", *SMALL_DAC, *room, *BUILT_IN, "--out=built-in")
    for place in ([], ["--set=placement.of.Actor.remote_agent.worker=Stranger"]):
        name = "apart" if place else "beside"
        call("run", *SMALL_DAC, *room, *PLUGGED, *place, "--executor=ray", f"--out={name}")
        assert_bitwise_equal(tmp_path / "built-in", tmp_path / name)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_remote_agent_has_packages_of_its_own(tmp_path):
    """The distribution is installed for its actor alone: here nobody finds it."""
    source = shutil.copytree(EXAMPLE, tmp_path / "source")
    alone = ["--no-deps", "--no-build-isolation", "--no-index"]
    grammar = antiphon.read_experiment("backprop", ["backprop.widths=[8]", "backprop.batch=16"]).build()
    packages = {"pip": {"packages": [str(source)], "pip_install_options": alone}}
    everyone = [["Nature", "Dense1", "Output", "Loss"]]
    placement = antiphon.place(grammar, fuse=everyone, of={"Dense1": {"remote_agent": {"runtime_env": packages}}})
    rates: dict[str, Any] = {"lr": 0.01, "momentum": 0.9}
    plugged = {"Dense1": antiphon.agent(agent="momentum", **rates), "Output": antiphon.agent("SGD", lr=0.1)}
    with pytest.raises(ExperimentError, match="no agent is called 'momentum'"):
        antiphon.launch(grammar, plugged)
    with antiphon.launch(grammar, plugged, placement=placement, executor="ray") as on_ray:
        there, numbers = on_ray.play(20), on_ray.states()
    with antiphon.launch(grammar, {**plugged, "Dense1": antiphon.agent("SGD", **rates)}) as inline:
        here, same = inline.play(20), inline.states()
    assert there.losses["Loss"].values == here.losses["Loss"].values
    one, other = numbers["Dense1"]["parameters"], same["Dense1"]["parameters"]
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_its_agent_keeps_the_contract_in_less_than_forty_lines(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    from chorus.momentum import Momentum  # pyright: ignore[reportMissingImports] - on the path for this test alone

    check_agent(Momentum, lr=0.01, momentum=0.9)
    assert len((EXAMPLE / "src/chorus/momentum.py").read_text().splitlines()) < 40


def test_the_documentation_prints_the_agent_and_the_entry_points_as_they_are():
    text = (EXAMPLE.parents[1] / "docs/agents.md").read_text()
    assert f"```python\n{(EXAMPLE / 'src/chorus/momentum.py').read_text()}```" in text
    project = (EXAMPLE / "pyproject.toml").read_text()
    points = project[project.index("[project.entry-points") : project.index("[tool.")].rstrip()
    assert f"```toml\n{points}\n```" in text
