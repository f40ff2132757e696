"""What is told of a cluster's runs, on jobs that are made up."""

import pytest
from rich.console import Console

from antiphon.cli.cluster import follow_run
from antiphon.cli.status import details_of, table_of
from antiphon.deploy.jobs import Job
from antiphon.errors import ClusterError, RoundError

OURS = {"antiphon": "0.1.0"}
STANDING = {"round": 12, "action": "receive Q[Critic~] from Critic", "awaits": "Critic", "host": "h", "process": 7}
PLAYING = {
    "run": "mine",
    "status": "running",
    "grammar": "dac",
    "rounds": 100,
    "round": 10,
    "generation": 1,
    "ending": True,
    "workers": {"BGE": STANDING, "Critic": {"error": "gone"}},
}
FAILED = {"run": "older", "status": "failed", "exit_code": 1, "grammar": "gan", "rounds": 5, "error": "no disk"}


class Jobs:
    """A cluster with one job, which is over, and an actor of another run."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def find(self, name):
        return self._job if name == self._job.name else None

    def all(self):
        return [self._job]

    def actors(self, run):
        return ["coordinator"] if run == "near" else []

    def job(self, name):
        return self._job

    def log(self, name):
        return ""

    async def chunks(self, name):
        return
        yield


def text(shown) -> list[str]:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(shown)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_table_has_a_line_for_each_run():
    assert text(table_of([PLAYING, FAILED])) == [
        "run    status                 round   generation  workers  began  grammar",
        "mine   running, asked to end  10/100  1           2               dac",
        "older  failed, exit code 1                                        gan",
    ]
    assert text(table_of([])) == ["the cluster has no runs"]


def test_a_run_tells_where_its_workers_stand_and_what_went_wrong():
    assert text(details_of(PLAYING)) == [
        "run mine: running, asked to end, grammar dac, round 10/100, generation 1",
        "worker  round  stands at                       waits for  host  process",
        "BGE     12     receive Q[Critic~] from Critic  Critic     h     7",
        "Critic         gone",
    ]
    assert text(details_of(FAILED)) == ["run older: failed, exit code 1, grammar gan", "error: no disk"]


def test_a_run_that_ray_did_not_start_is_told_without_its_stack_trace():
    message = (
        "runtime_env setup failed: Failed.\nTraceback (most recent call last):\n  File x\nOSError: no such package\n"
    )
    jobs = Jobs(Job("mine", "failed", None, message, OURS))
    with pytest.raises(RoundError) as caught:
        follow_run(jobs, "mine", print)  # pyright: ignore[reportArgumentType]  # as much of Jobs as it needs
    assert str(caught.value) == (
        "run 'mine' was not played to an end: OSError: no such package. Expected its job to start, and to live as long "
        "as the run; look at the logs of the cluster's head."
    )


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("minne", "the cluster has no run 'minne'; expected one of its runs: mine. Did you mean 'mine'? See "),
        ("other", "the cluster has no run 'other'; expected one of its runs: mine. See `antiphon status`."),
        ("near", "run 'near' is no job of the cluster: `antiphon run` started it, on one of its nodes; expected "),
    ],
)
def test_a_run_that_cannot_be_followed_is_told(name, error):
    with pytest.raises(ClusterError) as caught:
        follow_run(Jobs(Job("mine", "finished", 0, "", OURS)), name, print)  # pyright: ignore[reportArgumentType]
    assert str(caught.value).startswith(error)


def test_jobs_of_somebody_else_are_no_runs():
    with pytest.raises(ClusterError, match=r"^the cluster has no run 'theirs'; it has none at all\. See"):
        follow_run(Jobs(Job("theirs", "finished", 0)), "theirs", print)  # pyright: ignore[reportArgumentType]
