"""The output of `antiphon run`: first a table of workers, then a progress line, at the end a table of results.

On a terminal, the progress line is updated in place. Otherwise a new line is printed every few seconds.
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from antiphon.cli.terminal import say
from antiphon.columns import columns, plain
from antiphon.coordinator.plan.placement import hosted
from antiphon.experiments.experiment import Experiment
from antiphon.launching import Launched
from antiphon.recipes.common.recipe import Evaluation
from antiphon.runs.metrics import Record
from antiphon.runs.run import Finished

_SECONDS_BETWEEN_LINES = 5.0
_RECENT = 10
"""Number of batches of rounds whose speed predicts the remaining time: the newest ones."""


def line(record: Record, rounds: int, seconds_left: float | None = None) -> str:
    """Return the progress line of a run: round, speed, losses, return, largest regret, and remaining time.

    record: the metrics of the last batch of rounds. rounds: number of rounds of the whole run. seconds_left: the
    remaining time; None if it is not known. The return is the mean over the newest episodes, with their number and the
    age of the newest in environment steps.

    >>> reports = {"Row": {"regret": 3.0, "bound": 9.0}, "Column": {"regret": 1.5}}
    >>> line(Record(100, 2.0, 51.2, {"BGE": 0.125}, reports, {"sigma": 0.4}), 1000, 18.0)
    'round 100/1000  51.2 rounds/s  BGE 0.125  regret 3  sigma 0.4  18 s left'
    >>> returns = {"episode_return": -1210.52, "averaged_episodes": 8, "return_age": 40}
    >>> line(Record(100, 2.0, 51.2, {}, {"Nature": returns}, {}), 1000)
    'round 100/1000  51.2 rounds/s  return -1210.5 (8 episodes, 40 steps old)'
    """
    parts = [f"round {record.round}/{rounds}", f"{record.rounds_per_second:.1f} rounds/s"]
    parts += [f"{name} {value:.4g}" for name, value in record.losses.items()]
    parts += [f"return {_return(each)}" for each in record.reports.values() if "episode_return" in each]
    parts += [f"{name} {max(each):.4g}" for name in _OF_GAMES if (each := _reported(record, name))]
    parts += [f"{name} {value:.4g}" for name, value in record.settings.items()]
    parts += [f"{player} skipped {moves}" for player, moves in record.skipped.items()]
    return "  ".join([*parts, *([f"{seconds_left:.0f} s left"] if seconds_left is not None else [])])


def seconds_left(recent: Sequence[tuple[int, float]], rounds: int) -> float | None:
    """Return the remaining time of a run at the speed of its newest batches of rounds.

    recent: the number of rounds so far and the seconds so far, after each of these batches. rounds: number of rounds of
    the whole run. None after the first batch, whose time includes what happens only once, and at the end.

    >>> [seconds_left(recent, 100) for recent in ([(1, 30.0)], [(1, 30.0), (11, 32.0)], [(90, 50.0), (100, 52.0)])]
    [None, 17.8, None]
    """
    (first, began), (last, ended) = recent[0], recent[-1]
    return (rounds - last) * (ended - began) / (last - first) if first < last < rounds else None


def _return(report: Mapping[str, float]) -> str:
    many = report["averaged_episodes"]
    episodes = f"{many:.0f} episode{'' if many == 1 else 's'}"
    return f"{report['episode_return']:.1f} ({episodes}, {report['return_age']:.0f} steps old)"


_CURVES = frozenset(["lr", "gradient_norm"])
"""Names of reported numbers that the final table leaves out: each player has them, and their last value says little."""
_OF_GAMES = ("regret", "gap", "distance")
"""Names of reported numbers that the progress line shows: the largest regret, the distance from an equilibrium."""


def _reported(record: Record, name: str) -> list[float]:
    return [report[name] for report in record.reports.values() if name in report]


@final
class Watched:
    """Shows the progress of a run on a console. It implements the interface `antiphon.runs.run.View`."""

    def __init__(self, console: Console) -> None:
        self._console, self._live = console, None
        self._rounds, self._told = 0, float("-inf")
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT + 1)
        self._failed: set[str] = set()
        self._wrong: set[str] = set()

    def started(self, game: Launched, experiment: Experiment) -> None:
        """Print the grammar, and the table of its players, oracles and losses with their workers."""
        self._rounds = experiment.rounds
        grammar = game.assignment.grammar
        what = f"grammar {grammar.name} ({grammar.guarantee!r}): {grammar.objective!r}"
        say(self._console, f"{what}, executor {experiment.executor}, seed {experiment.seed}")
        self._console.print(casting(game, experiment))
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def played(self, record: Record, folder: Path) -> None:
        """Show the metrics of a batch of rounds. Print each agent's first failure, and each wrong value once.

        On a terminal, the progress line is updated. Otherwise a new line is printed every few seconds and at the end.
        Each evaluation is printed in a line of its own.
        """
        self._tell_failures(record)
        self._tell_nonfinite(record)
        self._tell_evaluation(record)
        self._recent.append((record.round, record.seconds))
        text = line(record, self._rounds, seconds_left(self._recent, self._rounds))
        if self._live is not None:
            self._live.update(Text(plain(text), no_wrap=True), refresh=True)
        elif time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES or record.round == self._rounds:
            self._told = time.monotonic()
            say(self._console, text)

    def _tell_evaluation(self, record: Record) -> None:
        if found := record.evaluation:
            best = record.best.get("round", 0)
            place = "the best so far" if best == record.round else f"the best, {record.best['mean']:.4g}, after {best}"
            told = place if record.best else "no finite number so far"
            items = f"{found['mean']:.4g} over {found['items']:.0f}"
            cut = f", {found['cut']:.0f} of them cut" if found["cut"] else ""
            say(self._console, f"evaluation after {record.round} rounds: {items}{cut} ({told})")

    def _tell_failures(self, record: Record) -> None:
        for player in record.failures.keys() - self._failed:
            say(self._console, f"a move of {player} was left out in {record.failures[player]}")
        self._failed.update(record.failures)

    def _tell_nonfinite(self, record: Record) -> None:
        for place, found in record.nonfinite.items():
            if place not in self._wrong:
                say(self._console, f"warning: {found.text}")
        self._wrong.update(record.nonfinite)

    def ended(self) -> None:
        """Remove the progress line from the terminal."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def casting(game: Launched, experiment: Experiment) -> Table:
    """Return a table of all players, oracles, losses and remote agents of a run.

    Each row has the name, the kind, the worker, the process id, and a player's optimizer.
    """
    grammar, placement = game.assignment.grammar, game.assignment.placement
    oracles = {oracle.name for oracle in grammar.query.oracles}
    agents = {name: agent.description for name, agent in game.assignment.agents.items()}
    process = {worker: number for worker, (_, number) in game.places.items()}
    rows = []
    for name in hosted(grammar):
        kind = "oracle" if name in oracles else "player" if name in agents else "loss"
        for worker in placement.replicas_of[placement.host_of[name]]:
            rows.append((name, kind, worker, process[worker], agents.get(name, "")))
    rows += [(f"{name}@agent", "agent", worker, process[worker], agents[name]) for name, worker in placement.agents]
    return columns(rows, ("name", "kind", "actor" if experiment.executor == "ray" else "worker", "process", "agent"))


def outcome(finished: Finished) -> Table:
    """Return a table of the results of a run: figures of the whole run, then losses and figures of its last batch."""
    record = finished.last
    rate = record.round / max(record.seconds, 1e-9)
    rows = [("rounds", str(record.round)), ("seconds", f"{record.seconds:.1f}"), ("rounds/s", f"{rate:.1f}")]
    rows += [("ended early", finished.ended_by)] if finished.ended_by else []
    if best := record.best:
        rows.append(("best evaluation", f"{best['mean']:.6g} after {best['round']:.0f} rounds"))
    rows += [(f"{name}, last batch", f"{value:.6g}") for name, value in record.losses.items()]
    for name, report in record.reports.items():
        shown = ((key, value) for key, value in report.items() if key not in _CURVES)
        rows += [(f"{name}: {key.replace('_', ' ')}", f"{value:.6g}") for key, value in shown]
    rows += [(f"{player}: moves left out", str(moves)) for player, moves in record.skipped.items()]
    rows += [(f"NaN or infinity at {place}", str(found.count)) for place, found in record.nonfinite.items()]
    return columns(rows)


def tell_spread(console: Console, evaluation: Evaluation) -> None:
    """Print standard deviation, minimum and maximum of the numbers of an evaluation, if they are meaningful."""
    if evaluation.spread:
        extremes = f"from {min(evaluation.figures):.1f} to {max(evaluation.figures):.1f}"
        what = f"{evaluation.quantity} of single {evaluation.of}"
        say(console, f"{what}: standard deviation {evaluation.deviation:.1f}, {extremes}")
