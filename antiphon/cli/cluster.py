"""The commands `antiphon status`, `attach` and `stop`, for runs on a Ray cluster.

They work from any machine that can reach the cluster's dashboard.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from antiphon.deploy.address import dashboard, given
from antiphon.deploy.following import follow, last_lines
from antiphon.deploy.jobs import Job, Jobs
from antiphon.errors import ClusterError, DeadlineError, RoundError
from antiphon.plugins import nearest

Write = Callable[[str], object]
_KILLED_WITHIN = 30.0


def jobs_at(address: str | None) -> Jobs:
    """Connect to the Ray jobs of the cluster at `address`. None takes the address from the environment.

    Raises ClusterError if the cluster cannot be reached.
    """
    return Jobs(dashboard(given(address)))


def follow_run(jobs: Jobs, name: str, write: Write, lines: int | None = None) -> int:
    """Write the log of the run `name` until the run ends, and return the run's exit code.

    lines: start with the last `lines` lines of the present log; None starts at the beginning.
    Raises ClusterError for an unknown name, and RoundError if Ray did not start the run or lost its machine.
    """
    job = _job_of(jobs, name)
    start = 0 if lines is None else last_lines(jobs.log(name), lines)
    job = follow(jobs, name, write, start)
    if job.exit_code is None:
        raise RoundError(
            f"run {name!r} was not played to an end: {_last_error(job.message) or 'Ray does not say why'}. Expected "
            "its job to start, and to live as long as the run; look at the logs of the cluster's head."
        )
    return job.exit_code


def statuses(address: str | None, name: str | None) -> list[dict[str, Any]]:  # Any: JSON
    """Return the status of all runs on a cluster, newest first; only of the run `name`, unless it is None.

    Each status is a dict that JSON can represent. Raises ClusterError if the cluster has no run of this name.
    """
    jobs = jobs_at(address)
    known = [job for job in jobs.all() if _is_ours(job)]
    playing = jobs.runs()
    if name is not None and name not in (*playing, *(job.name for job in known)):
        raise _unknown(name, [*playing, *(job.name for job in known)])
    answers = jobs.ask("status", name or "") if name in playing or (name is None and playing) else {}
    of_jobs = {job.name: _told(job) for job in known}
    others = {run: {"run": run, "status": "running"} for run in playing if run not in of_jobs}
    return [{**told, **answers.get(run, {})} for run, told in (others | of_jobs).items() if name in (None, run)]


def stop_run(address: str | None, name: str, now: bool, seconds: float, say: Write) -> None:
    """Ask a run on a cluster to end after its current batch of rounds, with a checkpoint, and wait until it has ended.

    now: kill the run instead, without a checkpoint. seconds: time to wait for the end. say: prints a line of text.
    Raises ClusterError for an unknown name, and DeadlineError if the run has not ended after `seconds`.
    """
    jobs = jobs_at(address)
    job, actors = jobs.find(name), jobs.actors(name)
    if not actors and (job is None or not _is_ours(job)):
        raise _unknown(name, [*jobs.runs(), *(each.name for each in jobs.all() if _is_ours(each))])
    if job and job.over and not actors:
        say(f"run {name!r} is over: {job.status}")
        return
    if now:
        if job:
            jobs.kill(name)
        elif actors:
            jobs.ask("kill", name)
        seconds = max(seconds, _KILLED_WITHIN)
    elif name in (jobs.ask("end", name) if actors else {}):
        say(f"run {name!r} ends after the batch in flight")
    elif job:
        jobs.kill(name)  # it is not playing: there is no batch to wait for
    _await_end(jobs, name, seconds)
    say(f"run {name!r} is {jobs.job(name).status}" if job else f"run {name!r} has ended")


def _await_end(jobs: Jobs, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while ((job := jobs.find(name)) and not job.over) or jobs.actors(name):
        if time.monotonic() > deadline:
            raise DeadlineError(
                f"run {name!r} has not ended within {seconds:g} s; expected it to, after the batch in flight. "
                f"Wait longer (--wait), see where it stands (`antiphon status {name}`), or kill it (--now)."
            )
        time.sleep(0.5)


def _job_of(jobs: Jobs, name: str) -> Job:
    job = jobs.find(name)
    if job is not None and _is_ours(job):
        return job
    if jobs.actors(name):
        raise ClusterError(
            f"run {name!r} is no job of the cluster: `antiphon run` started it, on one of its nodes; expected one of "
            f"`antiphon launch`. Its log is in that terminal; `antiphon status {name}` tells where it stands."
        )
    raise _unknown(name, [each.name for each in jobs.all() if _is_ours(each)])


def _unknown(name: str, known: list[str]) -> ClusterError:
    some = f"expected one of its runs: {', '.join(sorted(set(known))[:10])}" if known else "it has none at all"
    return ClusterError(f"the cluster has no run {name!r}; {some}. {nearest(name, known)}See `antiphon status`.")


def _is_ours(job: Job) -> bool:
    return "antiphon" in (job.metadata or {})


def _told(job: Job) -> dict[str, Any]:  # Any: JSON
    about: Mapping[str, str] = job.metadata or {}
    told: dict[str, Any] = {"run": job.name, "status": job.status, "grammar": about.get("grammar", "")}
    told |= {"rounds": int(about.get("rounds", 0)), "began": job.began, "ended": job.ended}
    if job.status == "failed":
        told |= {"exit_code": job.exit_code, "error": _last_error(job.message)}
    return told


def _last_error(message: str) -> str:
    """Return the error in the message of a failed job: the text of the last line that begins with "error: ".

    If no line begins with it, return the last line that is not blank.
    """
    lines = [line for line in message.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("error: ")]
    return (told or lines or [""])[-1].removeprefix("error: ")
