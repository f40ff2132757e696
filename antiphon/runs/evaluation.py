"""Evaluate the newest complete checkpoint of a run folder, in the way that the recipe of the grammar defines."""

from collections.abc import Iterable
from pathlib import Path

import torch

from antiphon.errors import ExperimentError
from antiphon.experiments.load import read_experiment
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.checkpoints import Checkpoints
from antiphon.runs.folder import EXPERIMENT, check_is_run


def evaluate_folder(
    path: Path, episodes: int | None = None, max_steps: int | None = None, allow: Iterable[str] | None = ()
) -> Evaluation:
    """Evaluate the newest checkpoint of a run, on episodes or data that were not used in training.

    path: the run folder. episodes, max_steps: replace the settings of the experiment; None keeps them.
    allow: modules whose code the folder's experiment may name. Other modules are refused, because another person may
    have made the folder. None allows all.
    The result is deterministic.
    Raises ExperimentError if `path` is no run folder, if it has no complete checkpoint, or if the run cannot be
    evaluated (a user's own grammar or data).
    """
    check_is_run(path)
    given = {"evaluation.episodes": episodes, "evaluation.max_steps": max_steps}
    changes = {key: value for key, value in given.items() if value is not None}
    experiment = read_experiment(path / EXPERIMENT, changes, allow=allow)
    recipe = experiment.recipe
    if recipe is None or recipe.evaluate is None or not recipe.judges(experiment.table):
        raise ExperimentError(
            f"{str(path)!r} is a run of {experiment.grammar!r} that has nothing to be judged by; expected grammar "
            "'dac', or another of the library on data that comes with it. Read its losses in metrics.jsonl, load its "
            "checkpoint with your own code."
        )
    _, states = Checkpoints(path, experiment.checkpoint_folder).load()
    threads = torch.get_num_threads()
    torch.set_num_threads(experiment.threads)
    try:
        return recipe.evaluate(experiment.table, experiment.evaluation, experiment.build(), states)
    finally:
        torch.set_num_threads(threads)
