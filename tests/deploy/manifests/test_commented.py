"""YAML with comments reads back as the values without them, whatever the values are."""

import yaml
from hypothesis import given, strategies as st

from antiphon.deploy.manifests.commented import bare, documents, edit, noted
from antiphon.deploy.manifests.texts import edits

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12),
    st.sampled_from(
        ["a: b", "yes", "0x10", "- x", "1e3", "~", "#", "", " a", "two\nlines", "end\n", "k:", "*a", "2.60.0"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "null", "x: y", "1"]), inner, max_size=3),
        st.builds(noted, inner, st.sampled_from(["why", "two\nlines"])),
    ),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_it_reads_back_as_it_was(first, second):
    text = documents("head", {"value": first}, {"value": second})
    assert list(yaml.safe_load_all(text)) == [{"value": bare(first)}, {"value": bare(second)}]


def test_comments_stand_above_what_they_are_about():
    text = documents(
        "The head.\n\nMore.", {"a": edit(["x", noted({"b": noted(1, "why")}, "what")], "the x"), "c": "two\nlines\n"}
    )
    assert text == (
        "# The head.\n#\n# More.\n# EDIT: the x\na:\n  - x\n  # what\n  # why\n  - b: 1\nc: |\n  two\n  lines\n"
    )
    assert edits(text) == [(4, "the x")]
