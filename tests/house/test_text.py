"""The text of the repository speaks of the project alone."""

import re

# Spelled so that this file does not match itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w./])/(?:[r]oot|[w]ork|[h]ome|[t]mp|[U]sers)(?:/|\b(?!\w))",
    "a package index": r"[p]ypi\.org|[p]ythonhosted\.org|[d]ownload\.pytorch\.org|registry\.[n]pmjs",
    "a choice of index": r"--(?:extra-)?[i]ndex-url",
    "work left undone": r"\b(?:[T]ODO|[F]IXME|[X]XX)\b",
}
PICTURES = {".png", ".gif", ".ico", ".pdf", ".npz", ".safetensors"}


def findings(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {what}: {found.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if (found := re.search(pattern, line))
    ]


def test_no_file_mentions_a_machine_an_index_or_work_left_undone(root, files):
    texts = {str(path.relative_to(root)): path.read_text() for path in files if path.suffix not in PICTURES}
    found = [finding for name, text in texts.items() for finding in findings(name, text)]
    assert not found, "\n".join(found)


def test_each_kind_is_found():
    lines = ["cd /" + "root/x", "in /" + "tmp/ray", "https://" + "pypi" + ".org/simple", "# TO" + "DO later"]
    assert len(findings("t", "\n".join(lines))) == len(lines)
    assert findings("t", "a/work/b, https://x.org/work/ and the worker/home") == []
