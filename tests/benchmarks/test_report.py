"""RESULTS.md is made of whole sections: a benchmark that runs again replaces its own, and no other."""

import pytest
from hypothesis import given, strategies as st

from benchmarks import report

TITLES = ("Latency", "Latency of a round", "Digits (9 + 1)")
TEXTS = st.text("ab|-#\n ", max_size=30).filter(lambda text: not report._HEADING.search(text))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A RESULTS.md of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "RESULTS", tmp_path_factory.mktemp("results") / "RESULTS.md")
        yield report.RESULTS


@given(st.lists(st.tuples(st.sampled_from(TITLES), TEXTS)))
def test_each_title_has_the_text_of_its_last_run(results, runs):
    results.unlink(missing_ok=True)
    for title, text in runs:
        report.write_section(title, text)
    last = dict(runs)
    whole = "\n\n".join([report._TITLE.strip(), *(f"## {title}\n\n{text}".strip() for title, text in last.items())])
    assert not last or results.read_text() == whole + "\n"


@pytest.mark.parametrize("text", ["## Another\nrows", "rows\n# Results"])
def test_a_section_holds_no_heading_of_a_section(results, text):
    with pytest.raises(ValueError, match=r"'Latency'.*expected no heading.*Use ###"):
        report.write_section("Latency", text)


def test_the_results_are_sections_that_the_next_run_would_find():
    text = (report.Path(report.__file__).parent / "RESULTS.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(titles) == len(set(titles)) > 5
