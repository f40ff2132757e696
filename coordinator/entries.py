"""Plays the actions of a round in order, and names the worker, the round and the action in errors."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, final

from antiphon.coordinator.plan.steps import LocalAction, describe
from antiphon.errors import AntiphonError, RoundError, unstopped

Play: TypeAlias = Callable[[int], None]
"""Plays one action in a round."""


@final
class Cursor:
    """The position of one worker in its round. Other threads may read `at`: the round, and the index of the action."""

    def __init__(self, worker: str, actions: Sequence[LocalAction]) -> None:
        self.at: tuple[int, int] = (-1, 0)
        self._worker, self._actions = worker, actions

    def mark(self, error: AntiphonError) -> None:
        """Set the attributes `worker` and `round` of an error of the current action, unless they are set."""
        if not error.worker:
            error.worker, error.round = self._worker, self.at[0]

    def failure(self, error: BaseException) -> RoundError:
        """Return a RoundError for an exception of the current action. It names worker, round and action."""
        round, position = self.at
        return RoundError(
            f"worker {self._worker!r} failed in round {round} at step «{describe(self._actions[position])}»: "
            f"{type(error).__name__}: "
            f"{unstopped(error)}. Expected it to play; see the traceback that this error carries.",
            worker=self._worker,
            round=round,
            traceback=traceback.format_exc(),
        )


Entry: TypeAlias = tuple[Cursor, int, Play]
"""An action to play: the cursor of its worker, its index in the worker's actions, and the function that plays it."""


def play_round(entries: Iterable[Entry], round: int) -> None:
    """Play actions of one or several workers in order, in `round`.

    If an action raises an AntiphonError, it is raised with attributes for the worker and the round. Any other exception
    becomes a RoundError.
    """
    for cursor, position, play in entries:
        cursor.at = round, position
        try:
            play(round)
        except KeyboardInterrupt:
            raise
        except AntiphonError as error:
            cursor.mark(error)
            raise
        except BaseException as error:  # SystemExit too: other players live in this process
            raise cursor.failure(error) from error
