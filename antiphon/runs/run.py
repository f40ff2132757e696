"""Run an experiment, and write metrics, checkpoints and a summary to a run folder."""

import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from antiphon.coordinator.executor import Played
from antiphon.coordinator.plan.placement import Placement
from antiphon.coordinator.plan.schedule import Schedule
from antiphon.coordinator.recording import Recording
from antiphon.errors import AntiphonError, RoundError
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.toml_io import toml
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.typed import typed
from antiphon.launching import Launched
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.evaluation import evaluate_folder
from antiphon.runs.folder import RunFolder, check_place, default_paths
from antiphon.runs.interrupts import Interrupts
from antiphon.runs.metrics import Metrics, Record, finite
from antiphon.runs.preflight import preflight


@dataclass(frozen=True)
class Finished:
    """The result of a run that ended without an error.

    folder: the run folder. last: metrics of the last batch of rounds.
    stopped_by: number of the signal that ended the run early (SIGTERM for `antiphon stop`); 0 otherwise.
    evaluation: None if the run ended early, or if it cannot be evaluated.
    schedule: the steps of each worker in a round. recording: the times of all actions in the last batch of rounds, if
    the run was asked to record them; else None.
    """

    folder: Path
    last: Record
    stopped_by: int
    evaluation: Evaluation | None
    schedule: Schedule
    recording: Recording | None


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
    The folder is created after the first round, so a run that cannot start leaves nothing behind. The first SIGINT or
    SIGTERM (or `antiphon stop`) ends the run after the current batch, with everything written; a second signal raises
    KeyboardInterrupt.
    Raises AntiphonError if the experiment is refused or cannot start. Later it raises RoundError and keeps the files
    written so far.
    """
    view = view or Unseen()
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    placement = experiment.placed_to_run(grammar)
    path = None if out is None else Path(out)
    likely = path or next(each for each in default_paths(grammar.name) if not each.exists())
    check_place(likely, grammar, experiment.keep_checkpoints)
    preflight(grammar, agents, with_own_packages(placement))
    with Interrupts() as interrupts:
        with experiment.launch(grammar, agents, placement, run=name, address=address, record=record) as game:
            interrupts.arm()
            view.started(game, experiment)
            play = _Play(game, experiment, interrupts, view)
            try:
                play.first()
                folder = RunFolder.make(path, grammar.name, toml(resolved(experiment, grammar)))
                play.rest(folder)
            finally:
                view.ended()
        interrupts.gentle = False
        return _finish(folder, play, experiment, interrupts.asked)


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
    """Runs the rounds of an experiment in batches. played, record: the results and the metrics of the last batch."""

    played: Played
    record: Record

    def __init__(self, game: Launched, experiment: Experiment, interrupts: Interrupts, view: View) -> None:
        self._game, self._experiment, self._interrupts, self._view = game, experiment, interrupts, view
        self._started, self.schedule = time.perf_counter(), game.assignment.schedule

    def first(self) -> None:
        """Run the first round, before anything is written."""
        self._batch(1)

    def rest(self, folder: RunFolder) -> None:
        """Run all rounds after the first, and write metrics, checkpoints and the summary into the run folder.

        After an error or an abort, the summary is written, and then the error is raised.
        """
        self._interrupts.gentle = True
        try:
            with Metrics(folder.path) as metrics:
                self._batches(folder, metrics)
            folder.save(self._game, self._experiment.keep_checkpoints)
        except KeyboardInterrupt:
            self._conclude(folder, "aborted")
            raise
        except AntiphonError as error:
            failure = _as_round_error(error, self.record.round)
            self._conclude(folder, "failed", str(failure))
            raise failure from error
        self._conclude(folder, "interrupted" if self._interrupts.asked else "finished")

    def _batches(self, folder: RunFolder, metrics: Metrics) -> None:
        experiment = self._experiment
        self._tell(metrics, folder)
        while self.record.round < experiment.rounds and not self._interrupts.asked:
            before, each = self.record.round, experiment.rounds_per_report
            earlier = self.record
            self._batch(min(each - before % each, experiment.rounds - before))
            self.record = self.record.after(earlier)
            self._tell(metrics, folder)
            if self._game.ending:
                self._interrupts.asked = self._interrupts.asked or signal.SIGTERM
            passed = self.record.round // experiment.checkpoint_every > before // experiment.checkpoint_every
            if passed and self.record.round < experiment.rounds and not self._interrupts.asked:
                folder.save(self._game, experiment.keep_checkpoints)

    def _batch(self, rounds: int) -> None:
        began = time.perf_counter()
        played = self._game.play(rounds)
        now = time.perf_counter()
        recipe = self._experiment.recipe
        settings = recipe.settings(self._experiment.table, played.round - 1) if recipe else {}
        self.played = played
        self.record = Record.of(played, now - self._started, now - began, settings)

    def _tell(self, metrics: Metrics, folder: RunFolder) -> None:
        metrics.write(self.record)
        self._view.played(self.record, folder.path)

    def _conclude(self, folder: RunFolder, status: str, error: str = "") -> None:
        summary = {"status": status, **asdict(self.record), **({"error": error} if error else {})}
        try:
            folder.summarise(finite(summary))
        except RoundError:
            if status in ("finished", "interrupted"):
                raise  # otherwise the run has failed already, perhaps for the same reason, and that error is raised


def _as_round_error(error: AntiphonError, round: int) -> RoundError:
    if isinstance(error, RoundError):
        return error
    failure = RoundError(str(error), worker=error.worker, round=error.round if error.worker else round)
    for note in getattr(error, "__notes__", []):
        failure.add_note(note)
    return failure


def _finish(folder: RunFolder, play: _Play, experiment: Experiment, stopped_by: int) -> Finished:
    recipe, record = experiment.recipe, play.record
    more = play.schedule, play.played.recording
    if stopped_by or recipe is None or recipe.evaluate is None or not recipe.judges(experiment.table):
        return Finished(folder.path, record, stopped_by, None, *more)
    evaluation = evaluate_folder(folder.path)
    evaluated = {**asdict(evaluation), "mean": evaluation.mean, "deviation": evaluation.deviation}
    folder.summarise(finite({"status": "finished", **asdict(record), "evaluation": evaluated}))
    return Finished(folder.path, record, 0, evaluation, *more)
