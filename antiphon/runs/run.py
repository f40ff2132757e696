"""Run an experiment, and write metrics, checkpoints and a summary to a run folder."""

import contextlib
import errno
import math
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from antiphon.coordinator.history import HISTORY
from antiphon.coordinator.plan.placement import Placement
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.recording import Recording
from antiphon.errors import AntiphonError, RoundError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.toml_io import toml
from antiphon.grammars.finite import refuse_nan
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.oracle import State
from antiphon.grammars.typed import typed
from antiphon.launching import Launched
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.checkpoints import Checkpoints, Saving
from antiphon.runs.evaluation import Evaluations, check_evaluation, evaluate_folder
from antiphon.runs.folder import RunFolder, check_place, default_paths
from antiphon.runs.identity import digest_of
from antiphon.runs.interrupts import Interrupts
from antiphon.runs.metrics import Metrics, Record, finite
from antiphon.runs.preflight import preflight

PATIENCE = 30.0
"""Seconds that the writing of a checkpoint may take after an error has ended the run."""


@dataclass(frozen=True)
class Finished:
    """The result of a run that ended without an error.

    folder: the run folder. last: metrics of the last batch of rounds.
    stopped_by: number of the signal that ended the run early (SIGTERM for `antiphon stop`); 0 otherwise.
    ended_by: why the evaluations during training ended the run early; "" if they did not.
    evaluation: None if a signal ended the run, or if it cannot be evaluated.
    schedule: the steps of each worker in a round. recording: the times of all actions in the last batch of rounds, if
    the run was asked to record them; else None.
    """

    folder: Path
    last: Record
    stopped_by: int
    evaluation: Evaluation | None
    schedule: Schedule
    recording: Recording | None
    ended_by: str = ""


class View(Protocol):
    """The interface of an observer of a run, such as a progress display. The run calls its methods."""

    def started(self, game: Launched, experiment: Experiment) -> None:
        """The run calls this method when all players and oracles exist, before the first round."""

    def played(self, record: Record, folder: Path) -> None:
        """The run calls this method after each batch of rounds.

        record: the metrics of the batch. folder: the run folder.
        """

    def ended(self) -> None:
        """The run calls this method once, after the last batch of rounds or an error."""


class Unseen:
    """An observer of a run that shows nothing."""

    def started(self, game: Launched, experiment: Experiment) -> None:
        """Show nothing at the start of the run."""

    def played(self, record: Record, folder: Path) -> None:
        """Show nothing after a batch of rounds."""

    def ended(self) -> None:
        """Show nothing at the end of the run."""


@typed
def run_experiment(
    experiment: Experiment,
    out: Path | str | None = None,
    view: View | None = None,
    *,
    name: str | None = None,
    address: str | None = None,
    record: bool = False,
) -> Finished:
    """Run an experiment, write the results to a run folder, and evaluate the trained players.

    out: the run folder (default `runs/<grammar>-<date>-<time>`). view: an observer, such as a progress display.
    name: the run's name. address: a Ray cluster that this machine belongs to, for the executor `ray`; None starts a
    local Ray. record: whether to record the times of all actions.
    Returns the folder, the last metrics and the evaluation.
    The folder is made first, and removed if the run cannot start. The first SIGINT, SIGTERM or SIGHUP (or `antiphon
    stop`) ends the run after the current batch, with everything written; a second signal raises KeyboardInterrupt.
    Raises AntiphonError if the experiment is refused or cannot start. Later it raises RoundError and keeps the files
    written so far.
    """
    check_evaluation(experiment)
    grammar = experiment.build()
    path = None if out is None else Path(out)
    likely = path or next(each for each in default_paths(grammar.name) if not each.exists())
    check_place(likely, grammar, experiment.keep_checkpoints)
    table = resolved(experiment, grammar)
    folder = RunFolder.make(path, grammar.name, toml(table))
    with contextlib.closing(folder):
        checkpoints = Checkpoints(folder.path, experiment.checkpoint_folder)
        cast = Cast(experiment, grammar, folder, checkpoints, name, address, record)
        return play_in(cast, view or Unseen())


@dataclass(frozen=True)
class Cast:
    """What is needed to play an experiment in a run folder."""

    experiment: Experiment
    grammar: Grammar
    folder: RunFolder
    checkpoints: Checkpoints
    name: str | None = None
    address: str | None = None
    record: bool = False


@dataclass(frozen=True)
class Resumed:
    """Where a resumed run continues: the states of a checkpoint, its round, and the last metrics before it."""

    states: Mapping[str, State]
    round: int
    record: Record


def play_in(cast: Cast, view: View, resumed: Resumed | None = None) -> Finished:
    """Launch the game of `cast`, play its rounds, and evaluate the trained players. See `run_experiment`.

    resumed: where to continue; None begins with the first round, and removes the run folder if that fails.
    """
    experiment, grammar = cast.experiment, cast.grammar
    with contextlib.ExitStack() as fresh, Interrupts() as interrupts:
        if resumed is None:
            fresh.callback(cast.folder.discard)
        agents, placement = experiment.agents(grammar), experiment.placed_to_run(grammar)
        preflight(grammar, agents, with_own_packages(placement))
        where = {"run": cast.name, "address": cast.address, "record": cast.record}
        where["history"] = cast.folder.path / HISTORY
        with experiment.launch(grammar, agents, placement, **where) as game:
            interrupts.arm()
            view.started(game, experiment)
            play = _Play(game, cast, interrupts, view)
            try:
                play.first() if resumed is None else play.resume(resumed)
                fresh.pop_all()
                play.rest(resumed)
            finally:
                view.ended()
        interrupts.gentle = False
        return _finish(cast.folder, play, experiment, interrupts.asked)


def with_own_packages(placement: Placement) -> list[str]:
    """Return the names of the players whose agents have their own runtime environment in a placement.

    Such an agent may need packages that are missing in this process.
    """
    return [player for player, worker in placement.agents if placement.resources_of[worker].runtime_env]


def resolved(experiment: Experiment, grammar: Grammar) -> dict[str, Any]:  # Any: TOML
    """Return an experiment as a TOML table with all defaults, and with the agent and placement of every player."""
    common = experiment.agent.model_dump(exclude_none=True)
    players = {
        name: {key: value for key, value in table.model_dump().items() if value is not None or key in common}
        for name, table in experiment.agent_tables(grammar).items()
    }
    plain = experiment.model_dump(exclude_none=True)
    return {**plain, "players": players, "placement": experiment.placement.resolved(grammar)}


class _Play:
    """Runs the rounds of an experiment in batches. record: the metrics of the last batch. recording: its times."""

    record: Record
    recording: Recording | None = None

    def __init__(self, game: Launched, cast: Cast, interrupts: Interrupts, view: View) -> None:
        self._game, self._experiment, self._interrupts, self._view = game, cast.experiment, interrupts, view
        self._folder, self._started, self.schedule = cast.folder, time.perf_counter(), game.assignment.schedule
        self._saving = Saving(
            game, cast.checkpoints, cast.experiment, digest_of(resolved(cast.experiment, cast.grammar))
        )
        self._rate, self._evaluations = 0.0, Evaluations(game, cast.experiment, cast.grammar)

    @property
    def ended_by(self) -> str:
        """Why the evaluations during training end the run; "" if they do not."""
        return self._evaluations.reason_to_stop

    def first(self) -> None:
        """Run the first round, before anything is written."""
        self._batch(1)

    def resume(self, resumed: Resumed) -> None:
        """Load the states of a checkpoint into the game. With the policy "fail", raises NonfiniteError for NaN."""
        if self._experiment.on_nonfinite == "fail":
            refuse_nan(resumed.states, f"checkpoint of round {resumed.round} in {self._folder.path}")
        self._game.load(resumed.states, resumed.round)
        self.record = resumed.record
        self._started -= self.record.seconds
        self._saving.continue_at(resumed.round)

    def rest(self, resumed: Resumed | None = None) -> None:
        """Run all rounds that are left, and write metrics, checkpoints and the summary into the run folder.

        After an error, a checkpoint is written if the game is between two rounds. After an error or an abort, the
        summary is written, and then the error is raised.
        """
        self._interrupts.gentle = True
        try:
            with Metrics(self._folder.path, resumed.round if resumed else None) as metrics:
                self._batches(metrics, resumed is None)
            if resumed is None or self.record.round > resumed.round:
                self._save()
                self._saving.finish()
        except KeyboardInterrupt:
            self._conclude("aborted")
            raise
        except AntiphonError as error:
            self._rescue()
            failure = _as_round_error(error, self.record.round)
            self._conclude("failed", str(failure))
            raise failure from error
        self._conclude("interrupted" if self._interrupts.asked else "finished")

    def _batches(self, metrics: Metrics, tell_first: bool) -> None:
        experiment = self._experiment
        if tell_first:
            self._judge_and_tell(metrics)
        while not self._ends:
            before, each = self.record.round, experiment.rounds_per_report
            earlier = self.record
            left = experiment.rounds - before, self._evaluations.rounds_left(before)
            self._batch(min(each - before % each, *left, self._in_time()))
            self.record = self.record.after(earlier)
            self._judge_and_tell(metrics)
            if self._game.ending:
                self._interrupts.asked = self._interrupts.asked or signal.SIGTERM
            self._saving.poll()
            is_best = self.record.best.get("round") == self.record.round
            if (is_best or self._saving.due(self.record.round)) and not self._ends:
                self._save()

    @property
    def _ends(self) -> bool:
        return bool(self.record.round >= self._experiment.rounds or self._interrupts.asked or self.ended_by)

    def _in_time(self) -> int:
        """Return how many rounds fit into the time until the next checkpoint, at least 1.

        So a run of slow rounds loses no more than `checkpoint_every_seconds`.
        """
        return max(1, int(min(self._saving.seconds_left * self._rate, 2**62))) if self._rate else 2**62

    def _batch(self, rounds: int) -> None:
        began = time.perf_counter()
        played = self._game.play(rounds)
        now = time.perf_counter()
        recipe = self._experiment.recipe
        settings = recipe.settings(self._experiment.table, played.round - 1) if recipe else {}
        self.recording = played.recording
        self._rate = played.rounds / max(now - began, 1e-9)
        self.record = Record.of(played, now - self._started, now - began, settings)

    def _judge_and_tell(self, metrics: Metrics) -> None:
        self._folder.check()
        try:
            self.record = self._evaluations.added(self.record)
        finally:
            metrics.write(self.record)  # also if the evaluation fails
        try:
            self._view.played(self.record, self._folder.path)
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal was closed, and SIGHUP is on its way
                raise

    def _save(self) -> None:
        self._folder.check()
        metrics = {name: float(value) for name, value in self.record.scalars.items()}
        self._saving.begin({name: value for name, value in metrics.items() if math.isfinite(value)})

    def _rescue(self) -> None:
        """After an error: finish the checkpoint that is being written, and write another if that makes sense."""
        with contextlib.suppress(AntiphonError, TimeoutError):
            self._saving.finish(PATIENCE)
        # `round` raises an error inside a round, where no state can be saved.
        with contextlib.suppress(AntiphonError, TimeoutError):
            if self._game.round == self.record.round:
                self._save()
                self._saving.finish(PATIENCE)

    def _conclude(self, status: str, error: str = "") -> None:
        summary = {"status": status, **_told(self.record, self.ended_by), **({"error": error} if error else {})}
        try:
            self._folder.summarise(finite(summary))
        except RoundError:
            if status in ("finished", "interrupted"):
                raise  # otherwise the run has failed already, perhaps for the same reason, and that error is raised


def _told(record: Record, ended_by: str) -> dict[str, Any]:  # Any: JSON
    """Return the last record of a run for its summary, with the mean speed of the whole run."""
    told = asdict(record) | {"rounds_per_second": round(record.round / max(record.seconds, 1e-9), 2)}
    del told["evaluation"]  # of the last batch; `best` tells of the whole run
    return {**told, **({"ended_by": ended_by} if ended_by else {})}


def _as_round_error(error: AntiphonError, round: int) -> RoundError:
    if isinstance(error, RoundError):
        return error
    failure = RoundError(str(error), worker=error.worker, round=error.round if error.worker else round)
    for note in getattr(error, "__notes__", []):
        failure.add_note(note)
    return failure


def _finish(folder: RunFolder, play: _Play, experiment: Experiment, stopped_by: int) -> Finished:
    recipe, record = experiment.recipe, play.record
    more = play.schedule, play.recording, play.ended_by
    if stopped_by or recipe is None or recipe.evaluate is None or not recipe.judges(experiment.table):
        return Finished(folder.path, record, stopped_by, None, *more)
    evaluation = evaluate_folder(folder.path, allow=None)  # the user has just started this run, with its code
    evaluated = {**asdict(evaluation), "mean": evaluation.mean, "deviation": evaluation.deviation}
    del evaluated["goal"]
    folder.summarise(finite({"status": "finished", **_told(record, play.ended_by), "evaluation": evaluated}))
    return Finished(folder.path, record, 0, evaluation, *more)
