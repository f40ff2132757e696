"""Windows of a text: each byte is followed by the next one, the test split is apart, bad files are refused."""

import pytest
import torch

from antiphon.envs import text, text_streams, text_windows
from antiphon.errors import OracleError
from antiphon.testing import check_oracle


def test_windows_are_the_bytes_and_those_that_follow(tmp_path) -> None:
    path = tmp_path / "text"
    path.write_bytes(bytes(range(200)))
    x, y = text_windows(path, 8, "train")
    assert x.shape == y.shape == (22, 8)  # 180 bytes, of which the last is followed by none
    assert x.flatten().tolist() == list(range(176)) and (y == x + 1).all()
    x, _ = text_windows(path, 8, "test")
    assert x.flatten().tolist() == list(range(180, 196))


def test_nature_answers_with_windows_of_the_training_split(tmp_path) -> None:
    path = tmp_path / "text"
    path.write_bytes(bytes(range(100)) * 2)
    nature = text(path, batch=5, context=8).make(0)
    x, y = nature.answer("sample", (), 0)
    assert x.shape == (5, 8) and (y == (x + 1) % 100).all()
    nature.close()


def test_streams_read_on_where_they_stopped_and_say_when_they_begin(tmp_path) -> None:
    path = tmp_path / "text"
    path.write_bytes(bytes(range(100)))
    declaration = text_streams(path, batch=3, context=7)
    check_oracle(declaration)
    nature = declaration.make(0)
    for round in range(10):  # 90 bytes: four windows of seven for each of three
        x, y, begins = nature.answer("sample", (), round)
        first = 7 * (round % 4)
        assert x.tolist() == [list(range(part + first, part + first + 7)) for part in (0, 28, 56)]
        assert torch.equal(y, x + 1) and begins.tolist() == [round % 4 == 0] * 3
    with pytest.raises(OracleError, match="90 bytes to train on; expected 301 or more"):
        text_streams(path, batch=3, context=100)


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_a_text_that_is_missing_or_short_is_refused(tmp_path, content) -> None:
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OracleError) as refused:
        text(path, batch=2, context=8)
    assert str(path) in str(refused.value)
    assert "cannot be read" in str(refused.value) if content is None else f"{len(content)} bytes" in str(refused.value)
