"""Continue a run from a checkpoint in its folder, with the numbers of a run that was never interrupted."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.runs.checkpoints import Checkpoints
from antiphon.runs.evaluation import check_evaluation
from antiphon.runs.folder import EXPERIMENT, RunFolder, check_is_run
from antiphon.runs.identity import digest_of, refuse_changed
from antiphon.runs.metrics import cut_back
from antiphon.runs.run import Cast, Finished, Resumed, Unseen, View, play_in, resolved


def resume_experiment(
    path: Path,
    changes: Mapping[str, Any] | None = None,  # Any: TOML
    view: View | None = None,
    *,
    at: int | None = None,
    placement: str | None = None,
    name: str | None = None,
    address: str | None = None,
    allow: Iterable[str] | None = (),
) -> Finished:
    """Continue the run in the folder `path` until its last round, and evaluate the trained players.

    at: the round of the checkpoint to continue from; None takes the newest. changes: values of keys that decide no
    number, such as `rounds`, `executor` and `placement`. placement: see `read_experiment`. allow: modules whose code
    the folder's experiment may name. Other modules are refused, because another person may have made the folder. None
    allows all. The other arguments are those of `run_experiment`.
    When the checkpoint has been read and found complete, metrics, events and checkpoints of later rounds are removed.
    Raises ExperimentError if the folder is not a run folder or is in use, if a key may not change, or if the checkpoint
    is damaged or of another run; then nothing is changed. After that, raises the errors of `run_experiment`.
    """
    check_is_run(path)
    with contextlib.closing(RunFolder.open(path)) as folder:
        file = str(path / EXPERIMENT)
        before = read_experiment(file, allow=allow)
        experiment = read_experiment(file, changes or {}, placement, allow)
        check_evaluation(experiment)
        grammar = experiment.build()
        table = resolved(experiment, grammar)
        refuse_changed(resolved(before, grammar), table)
        checkpoints = Checkpoints(path, experiment.checkpoint_folder)
        origin = {"signature": grammar.signature, "seed": experiment.seed, "experiment": digest_of(table)}
        manifest, states = checkpoints.load(at, **origin)
        record = cut_back(path, manifest.round)
        if record is None:
            raise ExperimentError(
                f"{str(path)!r} has no metrics up to round {manifest.round}; expected those of the rounds before the "
                "checkpoint in metrics.jsonl. Continue in Python: load the states of the checkpoint."
            )
        checkpoints.forget_after(manifest.round)
        cast = Cast(experiment, grammar, folder, checkpoints, name, address)
        return play_in(cast, view or Unseen(), Resumed(states, manifest.round, record))
