"""A film of an episode shows each of its steps; what cannot be filmed is refused by name."""

import re
import sys

import numpy as np
import pytest
import torch

from antiphon.envs.environment import Name
from antiphon.envs.video import film_episode
from antiphon.errors import ExperimentError, OracleError
from rigs.environments import Line, Shown


def still(state):
    return torch.zeros(len(state), 1)


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_film_shows_one_step_after_the_other(tmp_path, ending):
    clips = pytest.importorskip("moviepy.video.io.VideoFileClip")
    file = tmp_path / f"film.{ending}"
    film_episode(Shown, still, 0, file, max_steps=9)
    with clips.VideoFileClip(str(file)) as clip:
        greys = [picture.mean() for picture in clip.iter_frames()]
    assert clip.fps == 10 and len(greys) in (9, 10)  # moviepy 2 leaves out the last one
    assert np.abs(np.array(greys) - 10 * np.arange(len(greys))).max() < 8  # of 255; a film is compressed


@pytest.mark.parametrize(
    ("id", "keywords", "told"),
    [
        (Line, {}, "environment 'Line' renders nothing that can be filmed: expected 'rgb_array' in its metadata"),
        (Shown, {"broken": True}, "environment 'Shown': expected a video of its pictures; "),
    ],
)
def test_what_cannot_be_filmed_is_refused_by_name(tmp_path, id: Name, keywords, told):
    if keywords:
        pytest.importorskip("moviepy")
    with pytest.raises(OracleError, match=re.escape(told)):
        film_episode(id, still, 0, tmp_path / "film.mp4", keywords=keywords, max_steps=3)
    assert not list(tmp_path.iterdir())


def test_without_moviepy_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moviepy.video.io.VideoFileClip", None)
    with pytest.raises(ExperimentError, match=r"antiphon\[video\]"):
        film_episode(Shown, still, 0, tmp_path / "film.mp4")
