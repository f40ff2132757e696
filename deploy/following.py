"""Follows the log of a Ray job until the job ends. A lost connection is made again."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from antiphon.deploy.jobs import Job
from antiphon.errors import TransportError, unstopped

Write = Callable[[str], object]

_OPENING = re.compile(r"^Running entrypoint for job .*\n", re.MULTILINE)
_SILENCE, _LOOK = 120.0, 15.0
"""Seconds without output after which a new connection is made, and after which the job's status is checked."""


class Logged(Protocol):
    """The methods of `Jobs` that `follow` needs."""

    def job(self, name: str) -> Job:
        """Return the job with this name."""
        ...

    def log(self, name: str) -> str:
        """Return the whole output of the job so far."""
        ...

    def chunks(self, name: str) -> Any:  # Any: an asynchronous iterator of strings
        """Return an iterator over the output of the job, from the beginning.

        It also returns output that is written later.
        """
        ...


def opening(log: str) -> int:
    """Return the index in `log` at which the job's own output begins, after Ray's lines; 0 if it has not begun.

    >>> opening("Ray prepares.\\nRunning entrypoint for job a: python b\\nround 1")
    53
    """
    found = _OPENING.search(log)
    return found.end() if found else 0


def last_lines(log: str, lines: int) -> int:
    """Return the index in `log` at which the last `lines` lines of the job's output begin.

    >>> last_lines("Running entrypoint for job a: b\\none\\ntwo\\nthree\\n", 2)
    36
    """
    begins = [0, *(found.end() for found in re.finditer("\n", log.removesuffix("\n")))]
    return max(opening(log), (begins[-lines:] or [len(log)])[0] if lines else len(log))


def follow(jobs: Logged, name: str, write: Write, start: int = 0, patience: float = 60.0) -> Job:
    """Write the log of a job while it grows. Blocks until the job ends, and returns the job.

    write: a function that is called with each new part. start: first index to write; with 0, Ray's own first lines are
    left out.
    Raises TransportError if the cluster does not answer for `patience` seconds.
    """
    follower, lost = _Follower(jobs, name, write, start), 0.0
    while True:
        try:
            asyncio.run(follower.tail())
            job, lost = jobs.job(name), 0.0
        except KeyboardInterrupt:
            raise
        except Exception as error:  # a lost connection raises errors of several libraries
            lost = lost or time.monotonic()
            if time.monotonic() - lost > patience:
                raise TransportError(
                    f"the log of run {name!r} cannot be followed: {type(error).__name__}: "
                    f"{unstopped(error)}. Expected the "
                    "cluster to answer; if it is still there, so is the run: attach to it again."
                ) from error
            time.sleep(1)
            continue
        if job.over:
            follower.take(jobs.log(name), 0)
            return job


class _Follower:
    """Writes the new parts of a log. `_seen`: number of characters that were written or skipped."""

    def __init__(self, jobs: Logged, name: str, write: Write, start: int) -> None:
        self._jobs, self._name, self._write, self._seen = jobs, name, write, start
        self._opening = "" if start == 0 else None

    def take(self, text: str, position: int) -> None:
        """Write the part of `text` that is not yet written. position: the index in the log at which `text` begins."""
        fresh = text[max(0, self._seen - position) :]
        self._seen = max(self._seen, position + len(text))
        if self._opening is not None and fresh:
            self._opening += fresh
            begins = opening(self._opening)
            fresh, self._opening = (self._opening[begins:], None) if begins else ("", self._opening)
        if fresh:
            self._write(fresh)

    async def tail(self) -> None:
        """Write the log until the job or the connection ends, or until there is no output for `_SILENCE` seconds."""
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
