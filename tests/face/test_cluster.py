"""Runs on a real cluster with tokens on: launched, followed, left alone, asked, stopped; and what is refused there."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from antiphon.coordinator.checkpoint import load_states
from antiphon.coordinator.history import read_history
from antiphon.grammars.states import same_states

LINKS = Path(__file__).resolve().parents[2] / ".links"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

GAME = """
import antiphon
from own_sizes import WIDTH

def make():
    return antiphon.backprop(antiphon.digits(16), antiphon.dense_layers((64,), [WIDTH], classes=10))
"""
NET = """
import antiphon
from antiphon.grammars.factory import Factory
from torch import nn

class Net(nn.Linear):
    pass

def make():
    return antiphon.backprop(antiphon.digits(16), {"Only": Factory.of(Net, 64, 10)})
"""
AGENT = '''
import threading

class Descent:
    """Takes its time, so that a run without end leaves the machine to others."""
    def __init__(self, parameters, rate=0.1, fails=False, pause=0.0):
        self.parameters, self.rate, self.fails, self.pause = list(parameters), rate, fails, pause
        self.moves = 0
    def hear(self, response):
        self.heard = [each.clone() for each in response]
    def move(self):
        self.moves += 1
        threading.Event().wait(self.pause)
        if self.fails and self.moves > 20:
            raise ValueError("I cannot go on")
        self.parameters = [p - self.rate * g for p, g in zip(self.parameters, self.heard)]
        return self.parameters
    def state(self):
        return {"parameters": self.parameters}
    def load(self, state):
        self.parameters = state["parameters"]
'''
ENDLESS = ["game.toml", "--rounds=1000000000", "--set=rounds_per_report=10", "--set=agent.arguments.pause=0.05"]


@dataclass(frozen=True)
class Cluster:
    """Its dashboard, its control store, the home of its runs, and the environment that lets us in."""

    url: str
    store: str
    home: Path
    environment: dict[str, str]

    def get(self, path: str) -> dict:
        header = {"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=header), timeout=30) as answer:
            return json.load(answer)

    def actors(self) -> list[dict]:
        """Actors of runs that live."""
        found = self.get("/api/v0/actors?limit=1000")["data"]["result"]["result"]
        return [each for each in found if each["state"] != "DEAD" and each["ray_namespace"].startswith("antiphon-")]

    def process(self, run: str, actor: str) -> int:
        (found,) = (
            each for each in self.actors() if (each["ray_namespace"], each["name"]) == (f"antiphon-{run}", actor)
        )
        return found["pid"]

    def left(self) -> list[str]:
        """Actors of runs that live, and placement groups that hold room."""
        found = [each["ray_namespace"] for each in self.actors()]
        groups = self.get("/api/v0/placement_groups?limit=1000")["data"]["result"]["result"]
        return found + [each["placement_group_id"] for each in groups if each["state"] != "REMOVED"]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as scope:
        sockets = [scope.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def within(seconds: float, question: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := question()) and time.monotonic() < deadline:
        threading.Event().wait(0.2)
    return bool(found)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head of its own, stopped at the end with all that it started."""
    folder = Path(tempfile.mkdtemp(prefix="c", dir=tempfile.gettempdir()))  # short, for sockets are named in it
    store, dashboard, agent, client = free_ports(4)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_") or "USAGE" in key}
    # Of all paths the links alone: a folder `agents` of ours would be found before the one of a test.
    clean |= {"HOME": str(folder), "PYTHONPATH": str(LINKS)}
    environment = {**clean, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "correct-horse-battery"}
    options = {"port": store, "dashboard-port": dashboard, "dashboard-agent-listen-port": agent}
    options |= {"ray-client-server-port": client, "num-cpus": 8, "temp-dir": folder / "r"}
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    given = [f"--{key}={value}" for key, value in options.items()]
    with (folder / "head.log").open("w") as log:
        head = subprocess.Popen([*command, *given], cwd=folder, env=environment, stdout=log, stderr=log)
    up = Cluster(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{store}", folder, environment)
    try:
        assert within(120, lambda: answers(up)), (folder / "head.log").read_text()
        yield up
    finally:
        head.terminate()
        head.wait(60)
        assert within(60, lambda: not living(folder))
        shutil.rmtree(folder, ignore_errors=True)


def living(folder: Path) -> list[str]:
    """Processes whose environment names the folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                if bytes(folder) in (process / "environ").read_bytes():
                    found.append(process.name)
    return found


def answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.get("/api/version")) and bool(cluster.get("/api/jobs/") is not None)
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture
def begin(cluster, place) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A command of antiphon's in a process of its own, with the cluster's token; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def call(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        # What was started in a shell's background ignores SIGINT, and so would its children.
        command = ["env", "--default-signal=INT", sys.executable, "-P", "-m", "antiphon", *arguments]
        clean = {**cluster.environment, "TERM": "dumb", **environment}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=place, env=clean, text=True, stdout=pipe, stderr=pipe))
        return started[-1]

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def told(cluster, begin) -> Callable[..., tuple[int, str, str]]:
    """Exit code, output and errors of a command about the cluster."""

    def call(*arguments: str, **environment: str) -> tuple[int, str, str]:
        process = begin(*arguments, "--address", cluster.url, **environment)
        out, error = process.communicate(timeout=300)
        return process.returncode, out, error

    return call


@pytest.fixture
def game(place) -> Path:
    """An experiment of the user's own, with modules that have common names."""
    (place / "agents").mkdir()
    (place / "agents/__init__.py").write_text(AGENT)
    (place / "own_game.py").write_text(GAME)
    (place / "own_sizes.py").write_text("WIDTH = 8\n")
    (place / "game.toml").write_text('grammar = "own_game:make"\n[agent]\nagent = "agents:Descent"\n')
    return place / "game.toml"


def test_a_run_with_modules_of_ones_own_is_followed_to_its_end(cluster, told, game):
    code, out, error = told("launch", "game.toml", "--rounds=12", "--set=rounds_per_report=5", "--name=own")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"run own on the cluster at {cluster.url}"
    assert any(line.startswith("round 12/12") for line in lines)
    folder = cluster.home / "antiphon-runs/own"
    assert lines[-1] == f"run folder: {folder}, on {socket.gethostname()}"
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"
    assert told("attach", "own") == (0, "\n".join(lines[1:]) + "\n", "")
    assert told("attach", "own", "--tail=1") == (0, lines[-1] + "\n", "")
    assert told("launch", "game.toml", "--name=own")[::2] == (
        2,
        "error: the cluster has a run 'own' already; expected a new name. Choose another --name; `antiphon status own` "
        "tells of the one that is there.\n",
    )
    code, _, error = told("stop", "owm")
    assert (code, error.partition(":")[0]) == (2, "error")
    assert "the cluster has no run 'owm'; expected one of its runs: own" in error
    assert "Did you mean 'own'? See `antiphon status`." in error
    assert cluster.left() == []


def test_a_run_outlives_its_client_and_is_stopped_from_elsewhere(cluster, begin, told, game, await_line):
    client = begin("launch", *ENDLESS, "--name=long", "--address", cluster.url)
    await_line(client, "round 1/")
    client.kill()
    client.communicate()
    code, out, error = told("status", "long", "--json")
    assert (code, error) == (0, "")
    (status,) = json.loads(out)
    assert (status["status"], status["generation"], status["grammar"]) == ("running", 1, "backprop")
    assert sorted(status["workers"]) == ["Dense1", "Loss", "Nature", "Output"]
    assert all(each["process"] > 0 and each["action"] for each in status["workers"].values())
    attached = begin("attach", "long", "--tail=3", "--address", cluster.url)
    await_line(attached, "round ")
    later = json.loads(told("status", "--json")[1])
    assert next(each for each in later if each["run"] == "long")["round"] > status["round"]
    assert told("stop", "long") == (0, "run 'long' ends after the batch in flight\nrun 'long' is stopped\n", "")
    assert cluster.left() == []
    out, _ = attached.communicate(timeout=60)
    folder = cluster.home / "antiphon-runs/long"
    assert (attached.returncode, out.splitlines()[-1].partition(",")[0]) == (143, f"run folder: {folder}")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert (folder / f"checkpoints/round-{summary['round']:09d}/manifest.json").exists()
    assert told("stop", "long") == (0, "run 'long' is over: stopped\n", "")


def test_the_folder_of_a_launched_run_resumes_there_and_elsewhere_with_the_same_numbers(cluster, begin, told, game):
    every = ["--set=rounds_per_report=5", "--set=checkpoint_every=5", "--set=keep_checkpoints=9"]
    assert told("launch", "game.toml", "--rounds=10", "--name=first", *every)[0] == 0
    folder, allowed = cluster.home / "antiphon-runs/first", ["--allow=own_game", "--allow=agents"]

    def run(*arguments: str) -> tuple[int, str]:
        process = begin(*arguments)
        error = process.communicate(timeout=120)[1]
        return process.returncode, error

    code, error = run("resume", str(folder), "--rounds=20", "--address", cluster.store)
    assert code == 2 and "--allow own_game" in error
    shutil.copytree(folder, folder.with_name("copied"))
    assert run("resume", str(folder), "--rounds=20", "--address", cluster.store, *allowed) == (0, "")
    assert run("resume", str(folder.with_name("copied")), "--rounds=20", "--executor=inline", *allowed) == (0, "")
    assert run("run", "game.toml", "--rounds=20", "--out=whole", *every) == (0, "")
    runs = folder, folder.with_name("copied"), game.with_name("whole")
    there, elsewhere, whole = (load_states(each / "checkpoints/round-000000020") for each in runs)
    assert same_states(there, whole) and same_states(elsewhere, whole)
    assert cluster.left() == []


def test_a_run_stops_although_its_coordinator_dies_before_it_is_asked(cluster, begin, told, game, await_line):
    client = begin("launch", *ENDLESS, "--set=rounds_per_report=400", "--name=struck", "--address", cluster.url)
    await_line(client, "round 1/")
    stopping = begin("stop", "struck", "--address", cluster.url)
    await_line(stopping, "run 'struck' ends after the batch in flight")
    os.kill(cluster.process("struck", "coordinator"), signal.SIGKILL)
    assert stopping.communicate(timeout=200)[0] == "run 'struck' is stopped\n"
    client.communicate(timeout=60)
    assert client.returncode == 143 and cluster.left() == []
    history = read_history(cluster.home / "antiphon-runs/struck/history.jsonl")
    assert [each["worker"] for each in history if each["event"] == "recovered"] == ["coordinator"]


def test_a_module_that_only_the_driver_finds_is_refused_in_words(cluster, begin, place):
    (place / "own").mkdir()
    (place / "own/own_net.py").write_text(NET)
    paths = os.pathsep.join([str(LINKS), str(place / "own")])
    process = begin("run", "own_net:make", "--rounds=2", "--address", cluster.store, PYTHONPATH=paths)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2 and error.startswith("error: the coordinator on machine ") and error.count("\n") == 1
    assert "player 'Only'" in error and "No module named 'own_net'" in error and "`antiphon launch`" in error
    assert cluster.left() == []


def test_a_run_that_fails_tells_why_and_one_can_be_killed(cluster, begin, told, game, await_line):
    fails = ["--set=agent.arguments.fails=true", "--name=failing"]
    code, out, _ = told("launch", "game.toml", "--rounds=100", *fails)
    assert code == 1 and "raised ValueError in move in round 20: I cannot go on" in out.splitlines()[-1]
    client = begin("launch", *ENDLESS, "--name=killed", "--address", cluster.url)
    await_line(client, "round 1/")
    assert told("stop", "killed", "--now") == (0, "run 'killed' is stopped\n", "")
    assert cluster.left() == []
    client.communicate(timeout=60)
    assert client.returncode == 143
    code, out, _ = told("status")
    states = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert "failed, exit code 1" in states["failing"] and "stopped" in states["killed"]
    assert "error: agent 'agents:Descent' of player" in told("status", "failing")[1]


def test_a_run_on_a_node_is_found_asked_and_ended(cluster, begin, told, game, await_line):
    run = begin("run", *ENDLESS, "--name=near", "--address", cluster.store, "--out=mine")
    await_line(run, "round 1/")
    code, out, _ = told("status", "near")
    assert code == 0 and out.startswith("run near: running, grammar backprop, round ")
    assert told("attach", "near")[::2] == (
        2,
        "error: run 'near' is no job of the cluster: `antiphon run` started it, on one of its nodes; expected one of "
        "`antiphon launch`. Its log is in that terminal; `antiphon status near` tells where it stands.\n",
    )
    again = begin("run", "game.toml", "--name=near", "--address", cluster.store)
    assert again.communicate(timeout=120)[1] == (
        "error: the cluster has a run 'near' already; expected a new name. Choose another --name; `antiphon status "
        "near` tells of the one that is there.\n"
    )
    assert again.returncode == 2
    assert told("stop", "near") == (0, "run 'near' ends after the batch in flight\nrun 'near' has ended\n", "")
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 143 and out.splitlines()[-1] == f"run folder: mine, on {socket.gethostname()}"
    assert cluster.left() == []


COMMANDS = ["launch", "backprop"], ["status"], ["attach", "mine"], ["stop", "mine"]


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (
            {"RAY_AUTH_TOKEN": "wrong-horse-battery"},
            "error: the cluster at {!r} refuses our token; expected the one that it was started with. Correct "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file that holds it).\n",
        ),
        (
            {"RAY_AUTH_MODE": "disabled"},
            "error: the cluster at {!r} was to be used without a token: the environment has RAY_AUTH_MODE=disabled; "
            "expected token. Unset RAY_AUTH_MODE, or allow a cluster that is open to everyone with "
            "ANTIPHON_WITHOUT_TOKEN=1.\n",
        ),
    ],
    ids=["wrong", "none"],
)
def test_who_has_no_token_is_not_let_in(cluster, begin, environment, text):
    calls = [begin(*command, "--address", cluster.url, **environment) for command in COMMANDS]
    joining = begin("run", "backprop", "--address", cluster.store, **environment)
    for process in calls:
        _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (2, text.format(cluster.url))
    _, error = joining.communicate(timeout=60)
    assert (joining.returncode, error) == (2, text.format(cluster.store))


def test_a_token_that_is_not_there_at_all_is_asked_for(cluster, begin, tmp_path):
    nothing = {"RAY_AUTH_TOKEN": "", "RAY_AUTH_TOKEN_PATH": "", "HOME": str(tmp_path)}
    joining = begin("run", "backprop", "--address", cluster.store, **nothing)
    assert "asks for a token, and none was sent" in joining.communicate(timeout=60)[1]
    assert joining.returncode == 2


def test_the_cluster_answers_by_its_control_store_and_from_the_environment(cluster, begin):
    for address in (cluster.store, cluster.url):
        process = begin("status", "nobody", RAY_ADDRESS=address)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 2 and "the cluster has no run 'nobody'" in error


def test_ctrl_c_leaves_the_run_alone(cluster, begin, told, game, await_line):
    client = begin("launch", *ENDLESS, "--name=left", "--address", cluster.url)
    await_line(client, "round 1/")
    client.send_signal(signal.SIGINT)
    _, error = client.communicate(timeout=60)
    again = f"antiphon attach left --address {cluster.url}"
    assert (client.returncode, error) == (130, f"\nno longer followed; the run goes on: {again}\n")
    assert told("status", "left")[1].startswith("run left: running")
    assert told("stop", "left", "--now")[0] == 0
