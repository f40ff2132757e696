"""`antiphon bench`: the benchmarks of a checkout, each in a process of its own; refused elsewhere."""

import pytest

from antiphon.cli import bench

BENCHMARK = '''"""What {0} measures.

More.
"""
import sys

if __name__ == "__main__":
    open("{0}.ran", "w").close()
    sys.exit({1})
'''


@pytest.fixture
def checkout(place, monkeypatch):
    """A checkout with two benchmarks, of which one fails, and a module that is no benchmark."""
    folder = place / "benchmarks"
    (folder / "deep").mkdir(parents=True)
    (folder / "RESULTS.md").touch()
    (folder / "shared.py").write_text('"""Used by both."""\n')
    (folder / "good.py").write_text(BENCHMARK.format("good", 0))
    (folder / "deep" / "__main__.py").write_text(BENCHMARK.format("deep", 3))
    monkeypatch.setattr(bench, "ROOT", place)
    return place


def test_without_names_the_benchmarks_are_listed(checkout, antiphon):
    told = antiphon("bench")
    assert told.code == 0 and [line.split() for line in told.out.splitlines()[1:]] == [
        ["good", "What", "good", "measures."],
        ["deep", "What", "deep", "measures."],
    ]
    assert not list(checkout.glob("*.ran"))


@pytest.mark.parametrize(("arguments", "ran", "code"), [(["good"], {"good"}, 0), (["--all"], {"good", "deep"}, 1)])
def test_named_benchmarks_run_and_a_failure_is_told(checkout, antiphon, arguments, ran, code):
    told = antiphon("bench", *arguments)
    assert told.code == code and {path.stem for path in checkout.glob("*.ran")} == ran
    assert ("deep" in told.error) == (code == 1) and "good" not in told.error


@pytest.mark.parametrize(
    ("arguments", "arrived"), [(["good", "bad"], "'bad'"), (["--all", "good"], "--all and 'good'")]
)
def test_bad_names_are_refused_before_anything_runs(checkout, antiphon, arguments, arrived):
    told = antiphon("bench", *arguments)
    assert told.code == 2 and arrived in told.error and not list(checkout.glob("*.ran"))


def test_outside_a_checkout_it_is_refused(place, antiphon, monkeypatch):
    monkeypatch.setattr(bench, "ROOT", place)
    told = antiphon("bench")
    assert told.code == 2 and str(place) in told.error and "expected a checkout" in told.error
