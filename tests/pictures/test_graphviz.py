"""Nothing lies on anything: no label on a mark or another label, whatever the graph; what belongs together is so."""

import pytest
from hypothesis import given, settings, strategies as st

from antiphon.grammars.random_grammars import draw_grammar
from antiphon.pictures.geometry import Rectangle, meetings
from antiphon.pictures.graphviz import place
from antiphon.pictures.lettering import Face, Style, width
from antiphon.pictures.of_grammar import picture_of
from antiphon.pictures.picture import Line, MarkKind
from antiphon.pictures.sheet import boxes, sheet_of
from antiphon.pictures.sizes import label_size, size_of


def test_no_two_boxes_of_a_sheet_meet(anyone):
    sheet = sheet_of(picture_of(anyone))
    assert list(meetings(boxes(sheet))) == []
    paper = Rectangle(0, 0, sheet.width, sheet.height)
    assert [name for name, box in boxes(sheet) if union_grows(paper, box)] == []


def union_grows(paper: Rectangle, box: Rectangle) -> bool:
    return box.x < paper.x or box.y < paper.y or box.right > paper.right or box.bottom > paper.bottom


@settings(max_examples=25)
@given(st.data())
def test_no_two_boxes_of_a_random_graph_meet(data):
    grammar = draw_grammar(lambda n: data.draw(st.integers(0, n - 1)))
    picture = picture_of(grammar)
    assert list(meetings(boxes(sheet_of(picture)))) == []
    for side in picture.sides:
        for sideways in (False, True):
            placed = place(side, sideways)
            every = [*placed.marks.items(), *((f"label {name}", box) for name, box in placed.labels.items())]
            assert list(meetings(every)) == []


def test_an_overlap_is_found():
    assert list(
        meetings([("a", Rectangle(0, 0, 4, 4)), ("b", Rectangle(3, 3, 4, 4)), ("c", Rectangle(7, 3, 1, 1))])
    ) == [("a", "b")]


def test_every_arrow_with_a_symbol_has_a_label_of_its_measured_size(anyone):
    for side in picture_of(anyone).sides:
        placed = place(side)
        assert set(placed.labels) == {arrow.id for arrow in side.arrows if arrow.symbol}
        for arrow in side.arrows:
            if arrow.id in placed.labels:
                box = placed.labels[arrow.id]
                assert (box.width, box.height) in (label_size(arrow), label_size(arrow, level=True))


@pytest.mark.parametrize("sideways", [False, True])
def test_arrows_begin_and_end_at_their_marks(anyone, sideways):
    for side in picture_of(anyone).sides:
        placed = place(side, sideways)
        for arrow in side.arrows:
            curve = placed.curves[arrow.id]
            (x, y), (u, v) = curve.points[0], curve.end
            for (a, b), end in (((x, y), arrow.source), ((u, v), arrow.target)):
                near = placed.marks[end].grown(14)
                assert near.x <= a <= near.right and near.y <= b <= near.bottom, (arrow.id, end)


def test_a_player_stands_beside_its_operator(anyone):
    side = picture_of(anyone).sides[0]
    placed = place(side)
    for mark in side.marks:
        if mark.kind is MarkKind.PLAYER:
            player, operator = placed.marks[mark.id], placed.marks[mark.beside]
            assert abs(player.center[1] - operator.center[1]) < 1
            assert 20 < operator.x - player.right < 60


def test_q_is_read_upwards_and_r_downwards(five):
    for side in picture_of(five).sides:
        placed = place(side)
        for arrow in side.arrows:
            if arrow.line in (Line.ZEROTH, Line.FIRST) and side.by_id[arrow.target].beside != arrow.source:
                rise = placed.marks[arrow.source].center[1] - placed.marks[arrow.target].center[1]
                assert (rise > 0) is side.upward


def test_a_strip_is_laid_sideways_and_a_column_is_not(dac):
    sheet = sheet_of(picture_of(dac))
    (query, *_), _ = sheet.sides
    assert query.marks["Q Nature.replay"].right < query.marks["Q BGE"].x
    assert sheet.width < 2.2 * sheet.height


def test_frames_hold_what_belongs_to_their_pass_and_nothing_else(dac):
    side = picture_of(dac).sides[0]
    for sideways in (False, True):
        placed = place(side, sideways)
        for mark in side.marks:
            frame = mark.frame or side.by_id[mark.beside].frame
            for name, box in placed.frames.items():
                held = not union_grows(box, placed.marks[mark.id])
                assert held is (name == frame), (mark.id, name)


def test_lettering_is_as_wide_as_matplotlib_finds_it():
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font, LoadFlags

    for face in Face:
        font = FT2Font(f"{get_data_path()}/fonts/ttf/{face.value[0]}")
        font.set_size(100, 72)
        for text in ("Curator#2", "int64[batch, 3]", "δ θ −"):
            advances = 0.0
            for letter in text:
                if font.get_char_index(ord(letter)):
                    advances += font.load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536
                else:
                    advances = None
                    break
            if advances is not None:
                assert abs(width(text, Style(face, 100)) - advances) < 0.01 * advances


def test_a_mark_is_larger_than_its_lettering(anyone):
    for side in picture_of(anyone).sides:
        for mark in side.marks:
            if mark.lines:
                from antiphon.pictures.sizes import lines_of

                wide, high = size_of(mark)
                assert wide > max(line.width for line in lines_of(mark)) + 10
                assert high > sum(line.style.height for line in lines_of(mark)) + 8


def test_each_operator_of_a_chain_faces_its_product(makers):
    sheet = sheet_of(picture_of(makers["deep"]()))
    (left, _, high), (right, _, low) = sheet.sides
    products = {mark.asks: mark.id for mark in right.side.marks if mark.kind is MarkKind.PRODUCT}
    assert len(products) == 33
    for asked, product in products.items():
        assert abs(high + left.marks[asked].center[1] - low - right.marks[product].center[1]) < 12
