"""A job's log is followed from its first word to its last, through lost connections, each word once."""

import pytest

from antiphon.deploy.following import follow, last_lines, opening
from antiphon.deploy.inquiry import answer
from antiphon.deploy.jobs import Job
from antiphon.errors import ClusterError, TransportError

RAYS = "Runtime env is setting up.\nRunning entrypoint for job mine: python -m antiphon run\n"
OWN = "round 1\nround 2\nround 3\n"


class Cluster:
    """A job that has printed everything; each connection tells so many chunks of it and breaks, but for the last."""

    def __init__(self, *connections: int, size: int = 5, log: str = RAYS + OWN, code: int = 0) -> None:
        self._connections, self._size, self._log, self._code = list(connections), size, log, code

    async def chunks(self, name):
        told = self._connections.pop(0) if self._connections else None
        for number, begin in enumerate(range(0, len(self._log), self._size)):
            if number == told:
                raise ConnectionResetError("gone")
            yield self._log[begin : begin + self._size]

    def job(self, name):
        return Job(name, "finished" if self._code == 0 else "failed", self._code)

    def log(self, name):
        return self._log


@pytest.mark.parametrize("size", [1, 5, 40, 1000])
def test_every_word_of_the_run_is_written_once_and_rays_are_not(size):
    written: list[str] = []
    job = follow(Cluster(size=size), "mine", written.append)
    assert ("".join(written), job.exit_code) == (OWN, 0)


def test_a_lost_connection_loses_and_repeats_nothing(monkeypatch):
    monkeypatch.setattr("antiphon.deploy.following.time.sleep", lambda seconds: None)
    written: list[str] = []
    follow(Cluster(0, 3, 19, 2), "mine", written.append)
    assert "".join(written) == OWN


def test_the_tail_begins_where_it_is_to():
    log = RAYS + OWN
    written: list[str] = []
    follow(Cluster(), "mine", written.append, last_lines(log, 2))
    assert "".join(written) == "round 2\nround 3\n"
    assert log[last_lines(log, 0) :] == ""
    assert log[last_lines(log, 100) :] == log[opening(log) :] == OWN
    assert last_lines("", 5) == opening("") == 0


def test_a_cluster_that_is_gone_is_told(monkeypatch):
    class Gone(Cluster):
        def job(self, name):
            raise ConnectionResetError("gone")

    monkeypatch.setattr("antiphon.deploy.following.time.sleep", lambda seconds: None)
    with pytest.raises(TransportError) as caught:
        follow(Gone(), "mine", lambda text: None, patience=0.0)
    assert str(caught.value) == (
        "the log of run 'mine' cannot be followed: ConnectionResetError: gone. Expected the cluster to answer; if it "
        "is still there, so is the run: attach to it again."
    )


def test_a_head_without_answer_is_told():
    with pytest.raises(ClusterError) as caught:
        answer("something\nsh: 1: python: not found\n")
    assert str(caught.value) == (
        "the head of the cluster gave no answer about its runs: sh: 1: python: not found. Expected a Python with Ray "
        "there, as `python`; look at the head's logs."
    )
