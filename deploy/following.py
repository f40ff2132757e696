"""Following the log of a job: as it is written, through lost connections, to its end."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from antiphon.deploy.jobs import Job
from antiphon.errors import TransportError

Write = Callable[[str], object]

_OPENING = re.compile(r"^Running entrypoint for job .*\n", re.MULTILINE)
_SILENCE, _LOOK = 120.0, 15.0
"""Seconds without a word, after which the connection is made anew, and after which we look whether the job is over."""


class Logged(Protocol):
    """The jobs of a cluster, as far as following needs them."""

    def job(self, name: str) -> Job:
        """The job of that name."""
        ...

    def log(self, name: str) -> str:
        """All that it has printed."""
        ...

    def chunks(self, name: str) -> Any:  # Any: an asynchronous iterator of strings
        """The same from the beginning, as it is written."""
        ...


def opening(log: str) -> int:
    """Where a job's own words begin, behind Ray's; 0 when it has not begun.

    >>> opening("Ray prepares.\\nRunning entrypoint for job a: python b\\nround 1")
    53
    """
    found = _OPENING.search(log)
    return found.end() if found else 0


def last_lines(log: str, lines: int) -> int:
    """Where the last lines of a job's own words begin.

    >>> last_lines("Running entrypoint for job a: b\\none\\ntwo\\nthree\\n", 2)
    36
    """
    begins = [0, *(found.end() for found in re.finditer("\n", log.removesuffix("\n")))]
    return max(opening(log), (begins[-lines:] or [len(log)])[0] if lines else len(log))


def follow(jobs: Logged, name: str, write: Write, start: int = 0, patience: float = 60.0) -> Job:
    """Write the log of a job, from `start` on and without Ray's own words, until it ends; blocks. Returns the job.

    Raises TransportError when the cluster did not answer for `patience` seconds.
    """
    follower, lost = _Follower(jobs, name, write, start), 0.0
    while True:
        try:
            asyncio.run(follower.tail())
            job, lost = jobs.job(name), 0.0
        except KeyboardInterrupt:
            raise
        except Exception as error:  # whatever lost connections raise, in several libraries
            lost = lost or time.monotonic()
            if time.monotonic() - lost > patience:
                raise TransportError(
                    f"the log of run {name!r} cannot be followed: {type(error).__name__}: {error}. Expected the "
                    "cluster to answer; if it is still there, so is the run: attach to it again."
                ) from error
            time.sleep(1)
            continue
        if job.over:
            follower.take(jobs.log(name), 0)
            return job


class _Follower:
    """Where we stand in a log. `seen`: so many of its characters were written, or were not to be."""

    def __init__(self, jobs: Logged, name: str, write: Write, start: int) -> None:
        self._jobs, self._name, self._write, self._seen = jobs, name, write, start
        self._opening = "" if start == 0 else None

    def take(self, text: str, position: int) -> None:
        """Some of the log, from `position` on: what of it is new is written."""
        fresh = text[max(0, self._seen - position) :]
        self._seen = max(self._seen, position + len(text))
        if self._opening is not None and fresh:
            self._opening += fresh
            begins = opening(self._opening)
            fresh, self._opening = (self._opening[begins:], None) if begins else ("", self._opening)
        if fresh:
            self._write(fresh)

    async def tail(self) -> None:
        """Take what is written, until the job or the connection ends, or nobody says anything for long."""
        chunks, position, quiet = aiter(self._jobs.chunks(self._name)), 0, 0.0
        coming = asyncio.ensure_future(anext(chunks))
        try:
            while quiet < _SILENCE:
                if not (await asyncio.wait({coming}, timeout=_LOOK))[0]:
                    quiet += _LOOK
                    if (await asyncio.to_thread(self._jobs.job, self._name)).over:
                        return
                    continue
                chunk, quiet = coming.result(), 0.0
                self.take(chunk, position)
                position += len(chunk)
                coming = asyncio.ensure_future(anext(chunks))
        except StopAsyncIteration:
            return
        finally:
            coming.cancel()
