"""Evaluate the players of a run as the recipe of the grammar defines it: while the run plays, or from its folder."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import final

import torch

from antiphon.errors import AntiphonError, ExperimentError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.launching import Launched
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.checkpoints import Checkpoints
from antiphon.runs.folder import EXPERIMENT, check_is_run
from antiphon.runs.metrics import SCORE, Record


def evaluate_folder(
    path: Path,
    episodes: int | None = None,
    max_steps: int | None = None,
    allow: Iterable[str] | None = (),
    *,
    best: bool = False,
    video: Path | None = None,
) -> Evaluation:
    """Evaluate a checkpoint of a run, on episodes or data that were not used in training.

    path: the run folder. episodes, max_steps: replace the settings of the experiment; None keeps them.
    allow: modules whose code the folder's experiment may name. Other modules are refused, because another person may
    have made the folder. None allows all. best: evaluate the checkpoint with the best evaluation during training, and
    not the newest one. video: also write a video of the first episode to this file, .mp4 or .gif.
    The result is deterministic.
    Raises ExperimentError if `path` is no run folder, if it has no such checkpoint, if the run cannot be evaluated (a
    user's own grammar or data), or if a video is asked of a grammar without an environment. Raises OracleError if the
    environment renders no pictures.
    """
    check_is_run(path)
    given = {"evaluation.episodes": episodes, "evaluation.max_steps": max_steps}
    changes = {key: value for key, value in given.items() if value is not None}
    experiment = read_experiment(path / EXPERIMENT, changes, allow=allow)
    what = f"{str(path)!r} is a run of {experiment.grammar!r} that has nothing to be judged by"
    judge = _judge(experiment, what, "Read its losses in metrics.jsonl, load its checkpoint with your own code.")
    film = None if video is None else _camera(experiment)
    checkpoints = Checkpoints(path, experiment.checkpoint_folder)
    _, states = checkpoints.load(_best(checkpoints) if best else None)
    with _threads(experiment.threads):
        own = experiment.evaluation, experiment.build(), states
        if film is not None:
            film(*own, video)  # first, because it is refused where nothing can be filmed
        return judge(*own)


def check_evaluation(experiment: Experiment) -> None:
    """Raise ExperimentError if evaluations during training are asked for, and cannot take place."""
    every = experiment.evaluation.every
    if every is None:
        return
    what = f"key 'evaluation.every' is {every}, and grammar {experiment.grammar!r} has nothing to be judged by"
    _judge(experiment, what, "Leave out the key.")
    if every > experiment.rounds:
        raise ExperimentError(
            f"key 'evaluation.every' is {every}, and the run has {experiment.rounds} rounds; expected at most as many, "
            "so that there is an evaluation. Lower it, or leave it out: the run is evaluated at its end."
        )


@final
class Evaluations:
    """Evaluates the players of a running game between two rounds, if `evaluation.every` asks for it.

    The game plays on as without the evaluations: they copy the players' states, and have environments and random
    streams of their own. reason_to_stop: why the run ends after the last evaluation; "" if it goes on.
    """

    def __init__(self, game: Launched, experiment: Experiment, grammar: Grammar) -> None:
        self._game, self._experiment, self._grammar, self.reason_to_stop = game, experiment, grammar, ""
        self._settings = experiment.evaluation.during_training

    def rounds_left(self, round: int) -> int:
        """Return the number of rounds until the next evaluation. The number is large if there is none."""
        return self._settings.every - round % self._settings.every if self._settings.every else 2**62

    def added(self, record: Record) -> Record:
        """Return the record with an evaluation if one is due after its batch of rounds, else the record itself. Blocks.

        Raises the error of an evaluation that fails, with a note that names the round.
        """
        if self._settings.every is None or record.round % self._settings.every:
            return record
        judge, states = _judge(self._experiment, "", ""), self._game.states(learned=True)
        try:
            with _threads(self._experiment.threads):
                found = judge(self._settings, self._grammar, states)
        except AntiphonError as error:
            error.add_note(f"in the evaluation after {record.round} rounds")
            raise
        record = record.evaluated(found)
        self.reason_to_stop = self._reason(found, record)
        return record

    def _reason(self, found: Evaluation, record: Record) -> str:
        goal, patience, best = self._settings.stop_at, self._settings.patience, record.best
        if goal is not None and found.score(found.mean) >= found.score(goal):
            return f"the {found.quantity} {found.mean:.4g} reached evaluation.stop_at = {goal:g}"
        since = best["since"] if best else record.round // (self._settings.every or 1)
        if patience is not None and since >= patience:
            told = f", {best['mean']:.4g} after {best['round']:.0f} rounds" if best else ""
            return f"evaluation.patience = {patience}: so many evaluations were not better than the best{told}"
        return ""


def _judge(experiment: Experiment, what: str, remedy: str) -> Callable[..., Evaluation]:
    """Return the function (settings, grammar, states) -> evaluation of the experiment's grammar.

    Raises ExperimentError if there is none. what, remedy: the beginning and the end of its message.
    """
    recipe = experiment.recipe
    if recipe is None or recipe.evaluate is None or not recipe.judges(experiment.table):
        raise ExperimentError(
            f"{what}; expected grammar 'dac', or another of the library on data that comes with it. {remedy}"
        )
    return partial(recipe.evaluate, experiment.table)


def _camera(experiment: Experiment) -> Callable[..., None]:
    """Return the function (settings, grammar, states, file) that writes a video of an episode.

    Raises ExperimentError if the grammar has no environment.
    """
    recipe = experiment.recipe
    if recipe is None or recipe.film is None:
        raise ExperimentError(
            f"grammar {experiment.grammar!r} has no environment that could be filmed; expected one with an environment "
            "of Gymnasium, such as 'dac' or 'critic-derivative'. Ask for no video."
        )
    return partial(recipe.film, experiment.table)


def _best(checkpoints: Checkpoints) -> int:
    round = checkpoints.best(SCORE, lowest=False)
    if round is None:
        raise ExperimentError(
            f"{checkpoints.folder.address!r}: expected a checkpoint with an evaluation during training, found none. "
            "Let a run make some (key 'evaluation.every'), or evaluate the newest checkpoint."
        )
    return round


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Return a context in which torch computes with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
