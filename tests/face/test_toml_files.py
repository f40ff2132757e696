"""TOML files as users hand them in: read in every way that UTF-8 is written, else refused with what is wrong."""

import codecs
from pathlib import Path

import pytest

from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.experiments.toml_io import parse_toml

TEXT = '# é漢\ngrammar = "backprop"\nrounds = 7\n\n[backprop]\nwidths = [3]\n'
SAME = {
    "mark": codecs.BOM_UTF8 + TEXT.encode(),
    "windows": TEXT.replace("\n", "\r\n").encode(),
    "mac": TEXT.replace("\n", "\r").encode(),
    "both": codecs.BOM_UTF8 + TEXT.replace("\n", "\r\n").encode(),
    "unended": TEXT.rstrip().encode(),
}
REFUSED = {
    "utf-16": (TEXT.encode("utf-16"), "UTF-16.*Save it as UTF-8"),
    "utf-32": (TEXT.encode("utf-32"), "UTF-32.*Save it as UTF-8"),
    "latin": (TEXT[3:4].encode() + "\n# é".encode("latin-1"), "0xe9 in line 2.*Save it as UTF-8"),
    "picture": (b"\x89PNG\r\n\x1a\n", "0x89 in line 1"),
    "null": (b"rounds = \x00", "line 1"),
    "digits": (b"rounds = " + b"9" * 5000, "smaller values"),
    "brackets": (b"rounds = " + b"[" * 5000, "smaller values"),
    "empty": (b"", "key 'grammar' is missing"),
}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_every_way_of_writing_utf_8_reads_alike(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    experiment = read_experiment(str(path))
    assert (experiment.grammar, experiment.rounds, experiment.table.widths) == ("backprop", 7, [3])


@pytest.mark.parametrize(("content", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_none_is_refused_with_its_fault(tmp_path, content, text):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ExperimentError, match=text) as caught:
        read_experiment(str(path))
    assert repr(str(path)) in str(caught.value)
    if content:
        with pytest.raises(ExperimentError, match=text):
            read_experiment("backprop", placement=str(path))


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    for path in (tmp_path / "folder.toml", tmp_path / "none.toml", tmp_path / "null\0.toml", Path("x" * 300)):
        with pytest.raises(ExperimentError, match=r"mine cannot be read: .* Expected a TOML file"):
            parse_toml(path, "mine")
