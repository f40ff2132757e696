"""Starts, lists and ends Ray jobs. A job continues without the process that submitted it.

Only the cluster's dashboard must be reachable.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ray.exceptions import RayError
from ray.job_submission import JobStatus, JobSubmissionClient, JobType
from ray.util.state import list_actors

from antiphon.deploy.address import without_variables
from antiphon.deploy.finding import COORDINATOR, PREFIX, namespace_of, run_of, taken
from antiphon.deploy.inquiry import Asked, answer, program
from antiphon.errors import DeadlineError, TransportError

_SECONDS = 30.0
"""Timeout of a request to the dashboard, in seconds."""

_PYTHON = (
    # The Python of the Ray that runs the job. `python` may be another one if no environment is active.
    'p=$(sed -n "s|^.* \\(/.*\\)/lib/python[0-9.]*/site-packages/ray/_raylet.so$|\\1/bin/python|p" /proc/$PPID/maps '
    '2>/dev/null | head -n 1); [ -x "$p" ] || p=python; exec "$p" '
)
_STOPPED = 143
"""The exit code of a process that was ended by SIGTERM, and of a run that ended on request."""


@dataclass(frozen=True)
class Job:
    """A Ray job as the cluster reports it.

    status: pending, running, finished, stopped or failed. message: message from Ray. began, ended: seconds since the
    epoch, or 0 if the job has not begun or ended.
    """

    name: str
    status: str
    exit_code: int | None = None
    message: str = ""
    metadata: Mapping[str, str] | None = None
    began: float = 0.0
    ended: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.status in ("finished", "stopped", "failed")


@dataclass(frozen=True)
class CodeBundle:
    """The code that is sent with a job: its working directory, and packages for all its processes."""

    folder: Path
    packages: Sequence[Path] = ()


@final
class Jobs:
    """The Ray jobs of a cluster. url: URL of the cluster's dashboard, such as http://HEAD:8265.

    All methods raise TransportError if the dashboard does not answer.
    """

    def __init__(self, url: str) -> None:
        for handler in logging.getLogger("ray").handlers:
            handler.setLevel(logging.ERROR)  # hides messages about uploads and closed connections
        self.url = url
        with self._lost("be asked"), without_variables():
            self._client: Any = _Client(url)  # Any: the types of its methods depend on the version

    def submit(self, name: str, arguments: str, bundle: CodeBundle, metadata: Mapping[str, str]) -> None:
        """Start `python ARGUMENTS` on the head of the cluster as a job.

        Raises ClusterError if the job's name is in use.
        bundle: the code to send with the job. metadata: texts that Ray stores with the job.
        """
        environment = {"working_dir": str(bundle.folder), "py_modules": [str(path) for path in bundle.packages]}
        if self.find(name):
            raise taken(name)
        self._submit(name, arguments, environment, metadata)

    def job(self, name: str) -> Job:
        """Return the job with this name. The job must exist."""
        with self._lost(f"tell of {name!r}"):
            return _job(self._client.get_job_info(name))

    def find(self, name: str) -> Job | None:
        """Return the job with this name, or None if there is no such job."""
        return next((job for job in self.all() if job.name == name), None)

    def all(self) -> list[Job]:
        """Return all submitted jobs, the newest first, without the jobs that `ask` submits."""
        with self._lost("list its jobs"):
            found = [each for each in self._client.list_jobs() if each.type == JobType.SUBMISSION]
        jobs = [_job(each) for each in found if not each.submission_id.startswith(_QUESTION)]
        return sorted(jobs, key=lambda job: -job.began)

    def log(self, name: str) -> str:
        """Return the standard output and standard error of a job so far."""
        with self._lost(f"show the log of {name!r}"):
            return self._client.get_job_logs(name)

    def chunks(self, name: str) -> Any:  # Any: an asynchronous iterator of strings
        """Return an iterator over the log of a job, from the beginning.

        It also returns output that is written later.
        """
        return self._client.tail_job_logs(name)

    def kill(self, name: str) -> None:
        """End a job with SIGTERM, and with SIGKILL some seconds later. Returns at once."""
        with self._lost(f"stop {name!r}"):
            self._client.stop_job(name)

    def actors(self, run: str) -> list[str]:
        """Return the names of the actors of a run that are alive or starting."""
        found = self._actors(("ray_namespace", "=", namespace_of(run)))
        return [each.name for each in found if each.state != "DEAD"]

    def runs(self) -> list[str]:
        """Return the names of the runs whose coordinator is alive."""
        found = self._actors(("name", "=", COORDINATOR), ("state", "=", "ALIVE"))
        runs = [run_of(each.ray_namespace or "") for each in found]
        return [run for run in runs if run is not None]

    def ask(self, asked: Asked, run: str = "", seconds: float = 60.0) -> dict[str, Any]:  # Any: JSON
        """Ask the coordinators of the cluster's runs a question, and return their answers by run. Takes some seconds.

        asked: "status", "end" (end the run) or "kill" (kill all actors of the run). run: name of a run; empty for all
        runs.
        Raises DeadlineError after `seconds`, ClusterError if there is no answer.
        """
        name = f"{_QUESTION}{uuid.uuid4().hex[:12]}"
        self._submit(name, program(asked, run, PREFIX), {}, {})
        deadline = time.monotonic() + seconds
        while not (job := self.job(name)).over:
            if time.monotonic() > deadline:
                self.kill(name)
                raise DeadlineError(
                    f"the head of the cluster did not answer within {seconds:g} s about its runs; expected its "
                    f"job {name!r} to end, which is {job.status}. Look whether the head is overloaded."
                )
            time.sleep(0.1)
        log = self.log(name)
        with self._lost("forget a question"), contextlib.suppress(RuntimeError):
            self._client.delete_job(name)
        return answer(log)

    def _submit(self, name: str, arguments: str, environment: dict[str, Any], metadata: Mapping[str, str]) -> None:
        with self._lost("take a job"):
            self._client.submit_job(
                entrypoint=_PYTHON + arguments, submission_id=name, runtime_env=environment, metadata=dict(metadata)
            )

    def _actors(self, *filters: Any) -> list[Any]:  # Any: Ray's predicates and descriptions of actors
        with self._lost("list its actors"), without_variables():
            return list_actors(self.url, list(filters), limit=10_000, timeout=int(_SECONDS))

    @contextlib.contextmanager
    def _lost(self, what: str) -> Iterator[None]:
        try:
            yield
        except (
            OSError,
            RuntimeError,
            RayError,
        ) as error:  # a request raises OSError; an answer 4xx or 5xx is a RuntimeError
            lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
            raise TransportError(
                f"the cluster at {self.url!r} did not {what}: {lines[0][:300]}. Expected its dashboard to answer; look "
                "whether its head is still there."
            ) from error


_QUESTION = "antiphon-question-"


class _Client(JobSubmissionClient):
    """Ray's client for jobs, with a timeout for every request. Ray itself sets none."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:  # Any: Ray's options and answers
        return super()._do_request(method, endpoint, **{"timeout": _SECONDS, **options})


_NAMES = {JobStatus.PENDING: "pending", JobStatus.RUNNING: "running", JobStatus.STOPPED: "stopped"}


def _job(found: Any) -> Job:  # Any: JobDetails, which is optional in Ray
    over = "finished" if found.status == JobStatus.SUCCEEDED else "failed"
    status, code = _NAMES.get(found.status, over), found.driver_exit_code
    if code == _STOPPED or status == "stopped":
        status, code = "stopped", _STOPPED
    began, ended = (found.start_time or 0) / 1000, (found.end_time or 0) / 1000
    return Job(found.submission_id, status, code, found.message or "", found.metadata or {}, began, ended)
