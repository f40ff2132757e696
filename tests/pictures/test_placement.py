"""The picture of a placement: everyone is in it once, nothing lies on anything, equal placements give equal bytes."""

from math import hypot

import pytest

from antiphon.analysis.placement_summary import Carries, bytes_text, placement_summary, text
from antiphon.experiments.load import read_experiment
from antiphon.pictures.geometry import Rectangle, meetings
from antiphon.pictures.of_placement import picture_of_placement
from antiphon.pictures.sheet import boxes, sheet_of
from antiphon.pictures.svg import svg_of

RICH = {
    "strategy": "spread",
    "fuse": [["Actor", "Deviator"]],
    "logical_gpus": True,
    "of": {
        "Actor": {"num_gpus": 0.5, "precision": "bfloat16"},
        "Critic": {"num_cpus": 2, "num_gpus": 1, "replicas": 4, "node": {"zone": "a"},
                   "remote_agent": {"num_cpus": 1, "runtime_env": {"pip": ["x"]}}},
        "Nature": {"node": "10.0.0.1"},
        "Noise": {"node": "10.0.0.1"},
    },
}  # fmt: skip


def seen(name="dac", table=None):
    return placement_summary(read_experiment(name, {"placement": table or {}}))


def drawn(name="dac", table=None):
    return picture_of_placement(seen(name, table))


CASES = {
    "rich": ("dac", RICH),
    "dac": ("dac", {}),
    "gan": ("gan", {}),
    "one": ("backprop", {"fuse": [["Nature", "Dense1", "Dense2", "Output", "Loss"]]}),
    "machines": ("backprop", {"of": {name: {"node": f"10.0.0.{at}"} for name, at in
                                     (("Nature", 1), ("Dense1", 1), ("Dense2", 2), ("Output", 2))}}),
    "vae": ("vae", {"strategy": "strict_spread"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nothing_lies_on_anything_and_all_is_on_the_paper(case):
    sheet = sheet_of(drawn(*CASES[case]))
    assert list(meetings(boxes(sheet))) == []
    paper = Rectangle(0, 0, sheet.width, sheet.height)
    for name, box in boxes(sheet):
        assert box.x >= 0 and box.y >= 0 and box.right <= paper.right and box.bottom <= paper.bottom, name
    assert svg_of(sheet.picture) == svg_of(drawn(*CASES[case]))


def test_a_machine_frames_those_who_live_on_it():
    ((placed, _, _),) = sheet_of(drawn("dac", RICH)).sides
    (frame,) = placed.frames.values()
    inside = {name for name, box in placed.marks.items() if frame.meets(box)}
    assert inside == {"Nature", "Noise"}


def test_a_picture_of_replicas_shows_several_cards_and_of_agents_a_dashed_one():
    shown = svg_of(drawn("dac", RICH))
    assert shown.count('stroke-dasharray="4 3"') == 2  # the agent, and its sign in the key
    assert svg_of(drawn("dac", {})).count('stroke-dasharray="4 3"') == 0
    one = {**RICH, "of": {**RICH["of"], "Critic": {**RICH["of"]["Critic"], "replicas": 1}}}
    assert shown.count("<rect") == svg_of(drawn("dac", one)).count("<rect") + 2 + 3  # cards, and in the key


def test_every_stream_ends_with_its_head_at_its_target():
    ((placed, _, _),) = sheet_of(drawn("dac", RICH)).sides
    assert any(arrow.returns for arrow in placed.side.arrows)
    for arrow in placed.side.arrows:
        curve = placed.curves[arrow.id]
        (begin, _), (end, _) = curve.points[0], curve.end
        source, target = placed.marks[arrow.source], placed.marks[arrow.target]
        assert source.grown(3).meets(Rectangle(*curve.points[0], 1, 1)) and target.grown(3).meets(
            Rectangle(*curve.end, 1, 1)
        )
        assert (end < begin) is arrow.returns
        assert 4 < hypot(end - curve.points[-1][0], curve.end[1] - curve.points[-1][1]) < 12


def test_the_text_tells_the_same():
    told = text(seen("dac", RICH)).splitlines()
    assert told[:3] == [
        "dac: placement",
        "9 workers on as many machines as there are (spread); bytes a round",
        "GPUs are counted, and not used",
    ]
    rows = [" ".join(line.split()) for line in told]
    assert "Nature Nature 10.0.0.1 nothing" in rows
    assert "Actor Actor, Deviator any 0.5 GPUs; Actor in bfloat16" in rows
    assert "Critic × 4 Critic any 2 CPUs, 1 GPU; zone = a" in rows
    assert "Critic.agent agent of Critic any 1 CPU; a runtime_env of its own" in rows
    assert any(line.startswith("Critic × 4 each other sums over replicas ") for line in rows)


def test_bytes_are_those_of_the_schedule():
    found = seen("backprop", {"fuse": [["Dense1", "Dense2"]]})
    streams = {(each.source, each.target, each.carries): (each.messages, each.bytes) for each in found.streams}
    assert streams["Dense1", "Output", Carries.VALUES][0] == streams["Output", "Dense1", Carries.DERIVATIVES][0] == 1
    size = read_experiment("backprop").table
    assert streams["Dense1", "Output", Carries.VALUES][1] == size.batch * size.widths[-1] * 4
    assert bytes_text(streams["Dense1", "Output", Carries.VALUES][1]).endswith(" kB")


def test_on_one_worker_nothing_travels():
    told = text(seen(*CASES["one"]))
    assert told.endswith("\nnothing travels\n") and "\n1 worker on as few" in told
