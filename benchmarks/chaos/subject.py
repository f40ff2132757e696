"""The driver of a chaos run: plays an experiment, or resumes it, with a `Striker` in a thread.

python -m benchmarks.chaos.subject FOLDER EXPERIMENT FAULTS LOG
"""

import logging
import sys
from pathlib import Path

from antiphon.errors import AntiphonError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.launching import Launched
from antiphon.runs.folder import EXPERIMENT
from antiphon.runs.metrics import Record
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment
from benchmarks.chaos.faults import read_faults
from benchmarks.chaos.striker import Striker


class Struck:
    """An observer of a run that causes faults in it with a `Striker`."""

    def __init__(self, folder: Path, faults: Path, log: Path) -> None:
        self._folder, self._faults, self._log = folder, read_faults(faults), log
        self._striker: Striker | None = None

    def started(self, game: Launched, experiment: Experiment) -> None:
        """Begin to cause faults."""
        executor = game._executor
        self._striker = Striker(executor, self._faults, self._folder / "checkpoints", self._log)  # pyright: ignore
        self._striker.start()

    def played(self, record: Record, folder: Path) -> None:
        """Do nothing."""

    def ended(self) -> None:
        """Cause no more faults."""
        if self._striker is not None:
            self._striker.over.set()


def main(folder: Path, experiment: Path, faults: Path, log: Path) -> int:
    """Play or resume, and return the exit code of the process: 1 after an error, 129 after SIGHUP."""
    logging.basicConfig(level=logging.WARNING)
    view = Struck(folder, faults, log)
    try:
        if (folder / EXPERIMENT).exists():
            finished = resume_experiment(folder, view=view)
        else:
            finished = run_experiment(read_experiment(str(experiment)), folder, view)
    except AntiphonError as error:
        print(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), sep="\n  ", file=sys.stderr)
        return 1
    return 128 + finished.stopped_by if finished.stopped_by else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
