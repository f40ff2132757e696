"""What a killed process has left is removed at the next start, and nothing else is touched."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.deploy.leftovers import OWNER, VARIABLE, owned_folder, remove, sweep

HOLDS = """
import sys, subprocess
from pathlib import Path
from antiphon.deploy.leftovers import owned_folder, started_for
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
with owned_folder() as folder:
    with started_for(Path(folder)):
        daemon = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    users = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    print(folder, daemon.pid, users.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def owner() -> Iterator[tuple[subprocess.Popen, Path, int, int]]:
    """A process that owns a folder, a daemon of it, and another process that its user has started."""
    command = [sys.executable, "-c", HOLDS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder, *started = process.stdout.readline().split()
    daemon, users = map(int, started)
    yield process, Path(folder), daemon, users
    for each in filter(is_alive, (daemon, users)):
        os.kill(each, signal.SIGKILL)
    process.kill()
    process.communicate()


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_folder_of_a_living_process_stays_and_one_of_a_killed_process_goes_with_its_daemons(owner):
    process, folder, daemon, users = owner
    assert sweep() == [] and folder.exists() and is_alive(daemon)
    process.kill()
    process.wait()
    assert is_alive(daemon)
    with owned_folder() as mine:  # the next start
        assert not folder.exists() and Path(mine).exists()
        for _ in range(3000):
            if not is_alive(daemon):
                break
            threading.Event().wait(0.01)
        assert not is_alive(daemon) and is_alive(users)
    assert not Path(mine).exists()


def test_a_process_of_ray_is_found_by_its_files_where_its_title_covers_its_environment(temporary):
    (temporary / "log").touch()
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with (temporary / "log").open() as log:
        sleep = ["-c", "import time; time.sleep(600)"]
        daemons = [
            subprocess.Popen([title, *sleep], executable=sys.executable, stdin=log, env=clean)
            for title in ("ray::Agent", "less")
        ]
    try:
        while any(b"sleep" not in Path(f"/proc/{each.pid}/cmdline").read_bytes() for each in daemons):
            pass
        remove(temporary)
        assert daemons[0].wait(60) == -signal.SIGKILL and daemons[1].poll() is None
    finally:
        for each in daemons:
            each.kill()
            each.wait()


@pytest.mark.parametrize("key, value", [("boot", "another"), ("began", 1), ("pid", 2**22 + 1)])
def test_an_owner_is_dead_if_its_process_or_its_machine_began_at_another_time(temporary, key, value):
    with owned_folder() as folder:
        mark = json.loads((Path(folder) / OWNER).read_text())
        (Path(folder) / OWNER).write_text(json.dumps({**mark, key: value}))
        assert sweep() == [Path(folder)] and not Path(folder).exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"pid": 1}', '{"pid": "x", "boot": 1, "namespace": 2, "began": 3}', "[" * 10_000]
)
def test_what_is_not_provably_ours_stays(temporary, text):
    (temporary / "antiphon-other").mkdir()
    (temporary / "antiphon-other" / OWNER).write_text(text)
    (temporary / "antiphon-none").mkdir()
    (temporary / "antiphon-file").write_text("")
    with owned_folder() as folder:
        mark = json.loads((Path(folder) / OWNER).read_text())
        (Path(folder) / OWNER).write_text(json.dumps({**mark, "namespace": "pid:[1]", "began": 1}))
        (temporary / "antiphon-link").symlink_to(folder)
        before = sorted(temporary.rglob("*"))
        assert sweep() == [] and sorted(temporary.rglob("*")) == before


def test_the_folder_of_another_machine_stays_where_machines_share_their_temporary_files():
    with owned_folder() as folder:
        mark = json.loads((Path(folder) / OWNER).read_text())
        other = {**mark, "machine": "another", "boot": "another", "began": 1}
        (Path(folder) / OWNER).write_text(json.dumps(other))
        assert sweep() == [] and Path(folder).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_stays(temporary):
    with owned_folder() as folder:
        mark = json.loads((Path(folder) / OWNER).read_text())
        (Path(folder) / OWNER).write_text(json.dumps({**mark, "boot": "another"}))
        os.chown(folder, 65534, 65534)
        assert sweep() == []
