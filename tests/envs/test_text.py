"""Windows of a text: each byte is followed by the next one, the test split is apart, bad files are refused."""

import pytest

from antiphon.envs import text, text_windows
from antiphon.errors import OracleError


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


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_a_text_that_is_missing_or_short_is_refused(tmp_path, content) -> None:
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OracleError) as refused:
        text(path, batch=2, context=8)
    assert str(path) in str(refused.value)
    assert "cannot be read" in str(refused.value) if content is None else f"{len(content)} bytes" in str(refused.value)
