"""Ray Jobs: a run that lives on a cluster, whoever started it; reached by the cluster's dashboard alone."""

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
"""Of silence, after which a request to the dashboard has failed."""

_PYTHON = (
    # The Python of the Ray that runs the job: `python` on its path may be another, where nobody activated anything.
    'p=$(sed -n "s|^.* \\(/.*\\)/lib/python[0-9.]*/site-packages/ray/_raylet.so$|\\1/bin/python|p" /proc/$PPID/maps '
    '2>/dev/null | head -n 1); [ -x "$p" ] || p=python; exec "$p" '
)
_STOPPED = 143
"""The exit code of a process that ended on SIGTERM, and of a run that was asked to."""


@dataclass(frozen=True)
class Job:
    """What the cluster knows of a job. status: pending, running, finished, stopped or failed. began, ended: seconds
    since the epoch, 0 if not yet. message: of Ray's, where it failed without an exit code of its own."""

    name: str
    status: str
    exit_code: int | None = None
    message: str = ""
    metadata: Mapping[str, str] | None = None
    began: float = 0.0
    ended: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in ("finished", "stopped", "failed")


@dataclass(frozen=True)
class CodeBundle:
    """What a job takes along: the folder that it starts in, and packages for all its processes."""

    folder: Path
    packages: Sequence[Path] = ()


@final
class Jobs:
    """The jobs of the cluster whose dashboard is at a URL that `dashboard` found.

    Everything raises TransportError when the dashboard is lost on the way.
    """

    def __init__(self, url: str) -> None:
        for handler in logging.getLogger("ray").handlers:
            handler.setLevel(logging.ERROR)  # its notices of uploads and closed connections
        self.url = url
        with self._lost("be asked"), without_variables():
            self._client: Any = _Client(url)  # Any: some of its methods are told apart by version

    def submit(self, name: str, arguments: str, bundle: CodeBundle, metadata: Mapping[str, str]) -> None:
        """Start `python ARGUMENTS` on the cluster's head, as a job of that name. Raises ClusterError if it is taken."""
        environment = {"working_dir": str(bundle.folder), "py_modules": [str(path) for path in bundle.packages]}
        if self.find(name):
            raise taken(name)
        self._submit(name, arguments, environment, metadata)

    def job(self, name: str) -> Job:
        """The job of that name, which is there."""
        with self._lost(f"tell of {name!r}"):
            return _job(self._client.get_job_info(name))

    def find(self, name: str) -> Job | None:
        """The job of that name."""
        return next((job for job in self.all() if job.name == name), None)

    def all(self) -> list[Job]:
        """All jobs that were submitted with a name, the newest first, but for the questions of `ask`."""
        with self._lost("list its jobs"):
            found = [each for each in self._client.list_jobs() if each.type == JobType.SUBMISSION]
        jobs = [_job(each) for each in found if not each.submission_id.startswith(_QUESTION)]
        return sorted(jobs, key=lambda job: -job.began)

    def log(self, name: str) -> str:
        """All that a job has printed, both streams."""
        with self._lost(f"show the log of {name!r}"):
            return self._client.get_job_logs(name)

    def chunks(self, name: str) -> Any:  # Any: an asynchronous iterator of strings
        """The log of a job from its beginning, as it is written; see `follow`."""
        return self._client.tail_job_logs(name)

    def kill(self, name: str) -> None:
        """End a job by SIGTERM, and by SIGKILL seconds later. Returns at once."""
        with self._lost(f"stop {name!r}"):
            self._client.stop_job(name)

    def actors(self, run: str) -> list[str]:
        """Names of the actors of a run that are alive or about to be."""
        found = self._actors(("ray_namespace", "=", namespace_of(run)))
        return [each.name for each in found if each.state != "DEAD"]

    def runs(self) -> list[str]:
        """The runs whose coordinator is alive."""
        found = self._actors(("name", "=", COORDINATOR), ("state", "=", "ALIVE"))
        runs = [run_of(each.ray_namespace or "") for each in found]
        return [run for run in runs if run is not None]

    def ask(self, asked: Asked, run: str = "", seconds: float = 60.0) -> dict[str, Any]:  # Any: JSON
        """What the coordinators tell (see `inquire`); takes some seconds. Raises DeadlineError, ClusterError."""
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
        ) as error:  # of requests: OSError; an answer of 4xx or 5xx: RuntimeError
            lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
            raise TransportError(
                f"the cluster at {self.url!r} did not {what}: {lines[0][:300]}. Expected its dashboard to answer; look "
                "whether its head is still there."
            ) from error


_QUESTION = "antiphon-question-"


class _Client(JobSubmissionClient):
    """Ray's, whose every request has a deadline: it has none of its own."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:  # Any: as Ray's
        return super()._do_request(method, endpoint, **{"timeout": _SECONDS, **options})


_NAMES = {JobStatus.PENDING: "pending", JobStatus.RUNNING: "running", JobStatus.STOPPED: "stopped"}


def _job(found: Any) -> Job:  # Any: JobDetails, which is optional in Ray
    over = "finished" if found.status == JobStatus.SUCCEEDED else "failed"
    status, code = _NAMES.get(found.status, over), found.driver_exit_code
    if code == _STOPPED or status == "stopped":
        status, code = "stopped", _STOPPED
    began, ended = (found.start_time or 0) / 1000, (found.end_time or 0) / 1000
    return Job(found.submission_id, status, code, found.message or "", found.metadata or {}, began, ended)
