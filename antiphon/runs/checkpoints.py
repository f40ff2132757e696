"""The checkpoints of a run: when one is due, which are kept, and which one a run continues from."""

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import final

from antiphon.coordinator.checkpoint import MANIFEST, Labels, Manifest, check_origin, load_states, read_manifest
from antiphon.coordinator.storage import Folder, folder_at
from antiphon.errors import AntiphonError, ExperimentError
from antiphon.experiments.experiment import Experiment
from antiphon.grammars.oracle import State
from antiphon.launching import Launched
from antiphon.runs.folder import cannot_be_written
from antiphon.runs.metrics import SCORE

CHECKPOINTS = "checkpoints"


@final
class Checkpoints:
    """The checkpoints of one run, in `checkpoints/` of its folder or at the address `checkpoint_folder`."""

    def __init__(self, path: Path, address: str = "") -> None:
        try:
            self.folder = folder_at(address) if address else folder_at(path.resolve() / CHECKPOINTS)
        except OSError as error:
            raise cannot_be_written(Path(address or path), error) from error

    def rounds(self) -> list[int]:
        """Return the rounds of all complete checkpoints, in order."""
        return [round for round, whole in self._found().items() if whole]

    def at(self, round: int) -> Folder:
        """Return the folder of the checkpoint at a round."""
        return self.folder.at(f"round-{round:09d}")

    def load(self, round: int | None = None, **origin: object) -> tuple[Manifest, dict[str, State]]:
        """Load the newest complete checkpoint, or that of `round`, and compare all its files with its manifest.

        origin: values that the manifest must have, such as `experiment` and `seed`.
        Raises ExperimentError if there is none, if it is damaged, or if it is of another run.
        """
        rounds = self.rounds()
        if not rounds or round not in (None, *rounds):
            wanted = "a complete checkpoint" if round is None else f"a complete checkpoint of round {round}"
            there = f"those of the rounds {', '.join(map(str, rounds))}" if rounds else "none"
            raise ExperimentError(
                f"{self.folder.address!r}: expected {wanted}, found {there}. Let a run write one first (key "
                "'checkpoint_every'), or name a round that was found."
            )
        chosen = rounds[-1] if round is None else round
        folder = self.at(chosen)
        manifest = read_manifest(folder)
        check_origin(folder, manifest, round=chosen, **origin)
        return manifest, load_states(folder)

    def forget_after(self, round: int) -> None:
        """Remove all checkpoints after `round`, and all incomplete checkpoints."""
        for each, whole in self._found().items():
            if each > round or not whole:
                self._remove(each)

    def best(self, metric: str, lowest: bool) -> int | None:
        """Return the round of the complete checkpoint with the best value of a metric; None if none has this metric.

        lowest: whether the lowest value is the best, or the highest. Of equal values the first one counts.
        """
        metrics = {round: read_manifest(self.at(round)).metrics for round in self.rounds()}
        values = {round: own[metric] for round, own in metrics.items() if metric in own}
        return (min if lowest else max)(values, key=lambda round: values[round], default=None)

    def prune(self, keep: int, best: Mapping[str, bool]) -> None:
        """Remove all but the newest `keep` checkpoints, and the ones with the best values of the metrics `best`.

        best: for each metric, whether the lowest value is the best.
        """
        found = self._found()
        kept = {*[round for round, complete in found.items() if complete][-keep:]}
        kept |= {self.best(metric, lowest) for metric, lowest in best.items()}
        for round in found.keys() - kept:
            self._remove(round)

    def _found(self) -> dict[int, bool]:
        """Return the rounds of all checkpoint folders, in order, and whether each is complete."""
        try:
            names = self.folder.names()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise cannot_be_written(Path(self.folder.address), error) from error
        rounds = sorted(int(name[6:]) for name in names if name.startswith("round-") and name[6:].isdecimal())
        return {round: self._whole(round) for round in rounds}

    def _whole(self, round: int) -> bool:
        try:
            return MANIFEST in self.at(round).names()
        except OSError:
            return False

    def _remove(self, round: int) -> None:
        folder = self.at(round)
        try:
            # The manifest goes first: if the removal is interrupted, the rest no longer counts as a checkpoint.
            folder.discard(MANIFEST)
            folder.remove()
        except OSError:
            return  # the next removal tries again


@final
class Saving:
    """Writes the checkpoints of a running game while it plays.

    experiment: says when a checkpoint is due, and which are kept. digest: the experiment's digest, for the manifest.
    """

    def __init__(self, game: Launched, checkpoints: Checkpoints, experiment: Experiment, digest: str) -> None:
        self._game, self._checkpoints, self._experiment, self._digest = game, checkpoints, experiment, digest
        self._begun: tuple[Folder, Future[Manifest]] | None = None
        self.continue_at(game.round)

    def continue_at(self, round: int) -> None:
        """Count the rounds and seconds until the next checkpoint from now. round: that of the newest checkpoint."""
        self._last, self._at = time.monotonic(), round

    @property
    def seconds_left(self) -> float:
        """Seconds until a checkpoint is due."""
        return self._last + self._experiment.checkpoint_every_seconds - time.monotonic()

    def due(self, round: int) -> bool:
        """Return whether a checkpoint is due before `round`."""
        every = self._experiment.checkpoint_every
        return round // every > self._at // every or self.seconds_left <= 0

    def begin(self, metrics: dict[str, float]) -> None:
        """Begin a checkpoint. The next rounds may be played while it is written. metrics: of the last batch.

        Blocks until the checkpoint before it is written.

        Raises RoundError or another AntiphonError if this checkpoint, or the one before, cannot be written.
        """
        self.finish()
        round = self._game.round
        folder = self._checkpoints.at(round)
        try:
            self._checkpoints.folder.make()
            folder.make()
            self._begun = folder, self._game.begin_save(folder, Labels(self._digest, metrics))
        except (OSError, AntiphonError) as error:
            raise self._failed(folder, error) from error
        self.continue_at(round)

    def finish(self, seconds: float | None = None) -> None:
        """Wait until the checkpoint that was begun is written, for at most `seconds`. Then remove old checkpoints.

        Raises RoundError or another AntiphonError if it cannot be written. Its folder is then removed.
        """
        begun, self._begun = self._begun, None
        if begun is None:
            return
        folder, future = begun
        try:
            future.result(seconds)
        except (OSError, AntiphonError) as error:
            raise self._failed(folder, error) from error
        own = self._experiment
        best = {own.keep_best: own.best_is == "lowest"} if own.keep_best else {}
        self._checkpoints.prune(own.keep_checkpoints, best | ({SCORE: False} if own.evaluation.every else {}))

    def poll(self) -> None:
        """Finish the checkpoint that was begun, if its writing has ended. Otherwise return at once."""
        if self._begun is not None and self._begun[1].done():
            self.finish()

    def _failed(self, folder: Folder, error: OSError | AntiphonError) -> AntiphonError:
        with contextlib.suppress(OSError):
            folder.remove()
        if isinstance(error, OSError):
            return cannot_be_written(Path(folder.address), error)
        error.add_note(f"while checkpoint {folder.address!r} was written")
        return error
