"""A run folder belongs to one run, however many begin at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from antiphon.errors import ExperimentError
from antiphon.runs.folder import EXPERIMENT, RunFolder


def at_once(count: int, make: Callable[[int], object]) -> list[object]:
    """What each of several threads made, or its error."""
    found: list[object] = [None] * count
    gate = threading.Barrier(count)

    def begin(index: int) -> None:
        gate.wait()
        try:
            found[index] = make(index)
        except ExperimentError as error:
            found[index] = error

    threads = [threading.Thread(target=begin, args=(index,)) for index in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found


def text(folder: RunFolder) -> str:
    return (folder.path / EXPERIMENT).read_text()


def test_runs_that_begin_in_one_second_get_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "20260101-000000")
    folders = [
        each for each in at_once(16, lambda i: RunFolder.make(None, "gan", f"# {i}")) if isinstance(each, RunFolder)
    ]
    assert len({folder.path for folder in folders}) == 16
    assert sorted(map(text, folders)) == sorted(f"# {index}" for index in range(16))


@pytest.mark.parametrize("there", [False, True])
def test_of_runs_that_are_given_the_same_folder_one_gets_it(tmp_path, there):
    place = tmp_path / "deep" / "mine"
    if there:
        place.mkdir(parents=True)
    found = at_once(16, lambda index: RunFolder.make(place, "gan", f"# {index}"))
    (winner,) = [index for index, each in enumerate(found) if isinstance(each, RunFolder)]
    assert (place / EXPERIMENT).read_text() == f"# {winner}"
    losers = [str(each) for each in found if isinstance(each, ExperimentError)]
    assert len(losers) == 15 and all(repr(str(place)) in each and "another run" in each for each in losers)


def test_what_cannot_be_made_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(ExperimentError, match="cannot be made"):
            RunFolder.make(place, "gan", "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and Path(tmp_path / "file").read_text() == ""
