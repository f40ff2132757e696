"""The Slurm script, run on one machine: `ray symmetric-run` starts Ray, the experiment is played, Ray is stopped.

`srun` and `scontrol` are stand-ins for one machine. All of it happens in namespaces of its own: `ray stop`, which ends
the script, ends every Ray that it sees, and Ray's own port is taken.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli.app import app

ISOLATED = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--net"]
WANTED = ["backprop", "--set=rounds=4", "--set=backprop.widths=[8]", "--set=backprop.batch=16", "--machine-cpus=2"]
STRANGER = """
import urllib.request, urllib.error
try:
    urllib.request.urlopen("http://127.0.0.1:8265/api/jobs/", timeout=30)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def may_isolate() -> bool:
    return (
        shutil.which("unshare") is not None and not subprocess.run([*ISOLATED, "true"], capture_output=True).returncode
    )


def program(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path) -> Iterator[dict[str, str]]:
    """The environment variables of a job on one machine: Slurm's, and those that a user may set."""
    binaries = Path(sys.executable).parent
    python = shlex.quote(sys.executable)
    program(tmp_path / "slurm" / "srun", 'while [[ "$1" == --* ]]; do shift; done', 'exec "$@"')
    program(tmp_path / "slurm" / "scontrol", "echo localhost")
    own = tmp_path / "environment" / "bin"
    program(own / "python", f'exec {python} "$@"')
    program(own / "ray", f'exec {shlex.quote(str(binaries / "ray"))} "$@"')
    # Before the experiment is played, somebody without a token asks the job server for its jobs.
    program(own / "antiphon", f"{python} -c {shlex.quote(STRANGER)} > stranger", f'exec {python} -P -m antiphon "$@"')
    short = tempfile.mkdtemp(prefix="antiphon-")  # Ray's sockets lie in it
    yield {
        **os.environ,
        "PATH": f"{tmp_path / 'slurm'}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "small",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "ANTIPHON_ENVIRONMENT": str(tmp_path / "environment"),
        "ANTIPHON_RUNS": str(tmp_path / "runs"),
        "RAY_TMPDIR": short,
    }
    shutil.rmtree(short, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.skipif(not may_isolate(), reason="namespaces of processes and networks are not permitted here")
def test_the_experiment_is_played_and_nobody_without_a_token_is_heard(machine, tmp_path):
    written = CliRunner().invoke(app, ["manifest", "slurm", *WANTED, "--out", str(tmp_path / "job.sh")])
    assert written.exit_code == 0, written.output
    command = [*ISOLATED, "bash", "-c", f"ip link set lo up && exec bash {shlex.quote(str(tmp_path / 'job.sh'))}"]
    done = subprocess.run(command, cwd=tmp_path, env=machine, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "stranger").read_text() == "401\n"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small-7"]  # the token went with the job
    records = (tmp_path / "runs" / "small-7" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(records[-1])["round"] == 4
