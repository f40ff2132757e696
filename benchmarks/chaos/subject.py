"""The driver of a chaos run: plays an experiment, or resumes it, with a `Striker` in a thread.

python -m benchmarks.chaos.subject FOLDER EXPERIMENT FAULTS LOG [ADDRESS]

Standard input and output belong to the striker's orders.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ray._private import worker as ray_worker

from antiphon.errors import AntiphonError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.launching import Launched
from antiphon.runs.folder import EXPERIMENT
from antiphon.runs.metrics import Record
from antiphon.runs.resume import resume_experiment
from antiphon.runs.run import run_experiment
from benchmarks.chaos.faults import read_faults
from benchmarks.chaos.striker import Orders, Striker


class Struck:
    """An observer of a run that causes faults in it with a `Striker`."""

    def __init__(self, folder: Path, faults: Path, log: Path, orders: Orders) -> None:
        self._folder, self._faults, self._log, self._orders = folder, read_faults(faults), log, orders
        self._striker: Striker | None = None

    def started(self, game: Launched, experiment: Experiment) -> None:
        """Begin to cause faults."""
        executor: Any = game._executor  # Any: it is a `RecoveringExecutor`, because the experiment runs on Ray
        self._striker = Striker(executor, self._faults, self._folder, self._log, self._orders)
        node: Any = ray_worker._global_node  # Any: None before Ray is started
        self._striker.note(event="started", folder=node.get_session_dir_path())
        self._striker.start()

    def played(self, record: Record, folder: Path) -> None:
        """Do nothing."""

    def ended(self) -> None:
        """Cause no more faults."""
        if self._striker is not None:
            self._striker.over.set()


def main(folder: Path, experiment: Path, faults: Path, log: Path, address: str | None, orders: Orders) -> int:
    """Play or resume, and return the exit code of the process: 1 after an error, 129 after SIGHUP."""
    logging.basicConfig(level=logging.WARNING)
    view = Struck(folder, faults, log, orders)
    try:
        if (folder / EXPERIMENT).exists():
            finished = resume_experiment(folder, view=view, address=address)
        else:
            finished = run_experiment(read_experiment(str(experiment)), folder, view, address=address)
    except AntiphonError as error:
        print(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), sep="\n  ", file=sys.stderr)
        return 1
    return 128 + finished.stopped_by if finished.stopped_by else 0


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` would have it ignored
    own = Orders(os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what others print must not be taken for orders
    files, places = map(Path, sys.argv[1:5]), sys.argv[5:]
    sys.exit(main(*files, address=places[0] if places else None, orders=own))
