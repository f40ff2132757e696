"""The fork server: what it forks is as an ordinary process, has torch already, and ends as it should."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
import ray

from antiphon.deploy import fork_client
from antiphon.deploy.fork_server import ForkServer

FORK = "import sys; from antiphon.deploy.fork_client import fork; fork(*sys.argv[1:])"
TELL = """
import json, os, sys
print(json.dumps([sys.argv[1:], os.getcwd(), os.environ["ANSWER"], __name__, "torch" in sys.modules, os.getpid()]))
print("told", file=sys.stderr)
"""
OWNER = """
import sys, time
from antiphon.deploy.fork_server import ForkServer
server = ForkServer(sys.argv[1])
print(server._process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="antiphon-") as folder:
        yield folder


@pytest.fixture(scope="module")
def server(folder):
    """The folder of a server that runs."""
    with closing(ForkServer(folder)):
        yield folder


def script(folder, text: str) -> str:
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".py", delete=False) as file:
        file.write(text)
    return file.name


def run(folder, *command: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a script in a process that the server of this folder forks."""
    address = str(Path(folder) / fork_client.ADDRESS)
    return subprocess.run(
        [sys.executable, "-c", FORK, address, *command], capture_output=True, text=True, timeout=150, **options
    )


def ended(process: int) -> bool:
    end = time.monotonic() + 30
    while os.path.exists(f"/proc/{process}") and time.monotonic() < end:
        time.sleep(0.01)
    return not os.path.exists(f"/proc/{process}")


def test_a_forked_script_runs_as_if_python_had_been_started_with_it_and_has_torch(server, folder):
    done = run(server, script(folder, TELL), "one", "two words", env={**os.environ, "ANSWER": "42"}, cwd="/")
    *told, process = json.loads(done.stdout)
    assert told == [["one", "two words"], "/", "42", "__main__", True]
    assert done.stderr == "told\n"
    assert ended(process)


def test_forks_draw_other_numbers(server, folder):
    draw = script(folder, "import numpy; print(numpy.random.rand())")
    assert run(server, draw).stdout != run(server, draw).stdout


def test_a_script_that_fails_in_a_fork_ends_its_client_and_not_the_server(server, folder):
    assert "ZeroDivisionError" in run(server, script(folder, "1 / 0")).stderr
    assert run(server, script(folder, "print('next')")).stdout == "next\n"


def test_without_a_server_the_client_becomes_an_ordinary_process(folder):
    with tempfile.TemporaryDirectory(prefix="antiphon-") as other:
        ForkServer(other).close()
        done = run(other, script(folder, TELL), env={**os.environ, "ANSWER": "42"}, cwd="/")
    assert json.loads(done.stdout)[:-1] == [[], "/", "42", "__main__", False]


def test_the_server_ends_when_its_owner_is_killed():
    with tempfile.TemporaryDirectory(prefix="antiphon-") as other:
        owner = subprocess.Popen([sys.executable, "-c", OWNER, other], stdout=subprocess.PIPE, text=True)
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        os.kill(owner.pid, signal.SIGKILL)
        owner.communicate()
    assert ended(server)


def test_the_workers_of_a_ray_of_our_own_are_forked(pool):
    (worker,) = pool.take(1)
    _, process = ray.get(worker.address.remote())
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    assert b"antiphon.deploy.fork_server" in Path(f"/proc/{state[1]}/cmdline").read_bytes()
    pool._workers.insert(0, worker)


def test_a_worker_with_a_runtime_env_starts_anew_because_libraries_read_the_environment_at_import(ray_is_up):
    @ray.remote(num_cpus=0, runtime_env={"env_vars": {"ANSWER": "42"}})
    def tell() -> tuple[str, bool]:
        return os.environ["ANSWER"], "torch" in sys.modules

    assert ray.get(tell.remote()) == ("42", False)
