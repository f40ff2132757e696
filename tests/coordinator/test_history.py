"""The history of a run stays readable, whatever a full disk or a killed driver has left of it."""

import resource
from pathlib import Path

import pytest

from antiphon.coordinator.history import History, committed, read_history
from antiphon.coordinator.round_file import shared_round
from antiphon.errors import ExperimentError, RoundError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def test_a_write_to_a_full_disk_leaves_no_part_of_a_line_and_the_run_can_write_on(path: Path) -> None:
    history, before = History(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    history.open_generation()
    history.played(0, 10)
    full = path.stat().st_size + 9
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, before[1]))
    try:
        with pytest.raises(RoundError, match="cannot be written"):
            history.played(10, 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    history.played(10, 30)
    assert committed(read_history(path)) == [range(10), range(10, 30)]


def test_no_generation_is_used_twice_also_after_a_line_that_is_not_whole(path: Path) -> None:
    assert History(path).open_generation() == 1
    with path.open("a") as file:
        file.write('{"event": "opened", "gener')
    assert [History(path).open_generation() for _ in range(2)] == [2, 3]


@pytest.mark.parametrize("data", [b"\xff\xfe\n", b"[1]\n", b"{}\n", b'{"event": "opened", "generation": "1"}\n'])
def test_what_is_no_history_is_refused_by_name(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ExperimentError, match=r"history\.jsonl' is no history of a run"):
        History(path)


def test_a_round_file_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    kept, lost = shared_round(tmp_path / "round"), shared_round(tmp_path / "no folder" / "round")
    for each in (kept, lost):
        assert each[0] == -1
        each[0] = 7
    assert (tmp_path / "round").read_bytes() == (7).to_bytes(8, "little")
