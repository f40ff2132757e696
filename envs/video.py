"""Films one episode of a policy: writes a video file with Gymnasium's own recorder."""

import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import gymnasium
from gymnasium.wrappers import RecordVideo
from torch import Tensor

from antiphon.envs.environment import Keywords, Name, make, title
from antiphon.envs.returns import MAX_STEPS, played_episodes
from antiphon.errors import OracleError, unstopped
from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed
from antiphon.plugins import missing

World: TypeAlias = gymnasium.Env[Any, Any]  # Any: observations and actions of any space
PICTURES = "rgb_array"
"""Gymnasium's name of the render mode that answers with pictures as arrays."""
LONGEST = 1000
"""Largest number of steps in a video. The recorder keeps all pictures in memory until the end."""


@typed
def film_episode(
    id: Name,
    policy: Callable[[Tensor], Tensor],
    seed: int,
    file: Path,
    *,
    keywords: Keywords | None = None,
    max_steps: Count = MAX_STEPS,
) -> None:
    """Play one episode of the policy, and write it to a video file.

    id, policy, keywords: as for `played_episodes`. file: its ending chooses the format, .mp4 or .gif. max_steps: the
    episode is cut after this number of steps, and after `LONGEST`.
    Raises OracleError if the environment renders no pictures, and ExperimentError if moviepy is not installed: both
    before anything is played. Later raises OracleError if the environment raises, or if no video can be written.
    """
    _refuse_blind(id, keywords or {})
    try:
        from moviepy.video.io.VideoFileClip import VideoFileClip  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise missing("videos", "video", error) from None
    with tempfile.TemporaryDirectory() as place:

        def recorded(**given: Any) -> World:  # Any: arguments of the environment
            made = gymnasium.make(id, **given) if isinstance(id, str) else id(**given)
            return RecordVideo(made, str(Path(place) / "video"), episode_trigger=lambda episode: True)

        recorded.__qualname__ = id if isinstance(id, str) else getattr(id, "__qualname__", repr(id))
        given = {**(keywords or {}), "render_mode": PICTURES}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            played_episodes(recorded, policy, [seed], keywords=given, max_steps=min(max_steps, LONGEST))
        written = next(Path(place).rglob("*.mp4"), None)
        if written is None:
            reason = unstopped(Exception(told[-1].message)) if told else "the recorder wrote nothing"
            raise OracleError(
                f"{title(id)}: expected a video of its pictures; {reason}. Make its method `render` answer with an "
                "array of (height, width, 3) numbers from 0 to 255."
            )
        if file.suffix.lower() == ".gif":
            with closing(VideoFileClip(str(written))) as clip:
                clip.write_gif(str(file), logger=None)
        else:
            shutil.copyfile(written, file)


def _refuse_blind(id: Name, keywords: Keywords) -> None:
    """Raise OracleError if the environment does not declare that it renders pictures as arrays."""
    with closing(make(id, {key: value for key, value in keywords.items() if key != "render_mode"})) as made:
        modes = made.environment.metadata.get("render_modes") or []
    if PICTURES not in modes:
        raise OracleError(
            f"{title(id)} renders nothing that can be filmed: expected {PICTURES!r} in its metadata 'render_modes', "
            f"found {list(modes)}. Choose an environment that renders pictures, or ask for no video."
        )
