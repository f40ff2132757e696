"""Random faults against runs of four grammars on Ray: every run ends with the numbers of an undisturbed run.

PYTHONPATH=.links python -m benchmarks.chaos [--faults 200] [--seed 0] [--parallel 2]

A fault is a signal to a player, an oracle, a loss, the coordinator, the driver, Ray's control store or its raylet, or
the loss of a node or of a node's cable. It strikes in a query phase, in a response phase, while a checkpoint is
written, or during a recovery. A log proves the moment of each fault. `--parallel` runs are played at the same time.
"""

import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chaos.faults import CUT, GRAMMARS, KINDS, MOMENTS, NODE, Fault, dealt
from benchmarks.chaos.run import ON_NODES, Tally, check, disturbed, rounds_for, undisturbed, why_not_cut
from benchmarks.report import machine, options, table, write_section


def played(faults: list[Fault], folder: Path, parallel: int = 2) -> Tally:
    """Play runs until all faults have happened, `parallel` at the same time. Compare each with its undisturbed run."""
    runs: dict[tuple[bool, str], list[Fault]] = {}
    for fault in faults:
        runs.setdefault((fault.role == NODE, fault.grammar), []).append(fault)
    longest = {grammar: max(rounds_for(own) for (_, of), own in runs.items() if of == grammar) for _, grammar in runs}
    whole = {name: undisturbed(name, rounds, folder / f"undisturbed-{name}") for name, rounds in longest.items()}
    tally, numbers = Tally(), count()

    def play(grammar: str, faults: list[Fault]) -> None:
        while faults and not tally.wrong:
            now, later = (faults[:ON_NODES], faults[ON_NODES:]) if faults[0].role == NODE else (faults, [])
            own = folder / f"{next(numbers)}-{grammar}"
            left = disturbed(now, own, tally)
            if not tally.wrong:
                check(own, whole[grammar], rounds_for(now), tally)
            if left == now:
                tally.wrong.append(f"{own.name}: no fault of {len(now)} has happened")
            print(f"{own.name}: {len(now) - len(left)} faults of {len(faults)}", flush=True)
            faults = [*left, *later]

    with ThreadPoolExecutor(parallel) as pool:
        for each in [pool.submit(play, grammar, own) for (_, grammar), own in sorted(runs.items())]:
            each.result()
    return tally


def counted(tally: Tally) -> str:
    """Return a table of the number of faults, by kind, moment, outcome and grammar."""
    of = itemgetter("role", "how", "moment", "outcome", "grammar")
    cells = Counter(of(entry) for entry in tally.struck)
    order = [(*kind, moment, outcome) for kind in KINDS for moment in MOMENTS for outcome in OUTCOMES]
    rows = [
        [f"{role}, {how}", *where, *(cells[role, how, *where, grammar] or "" for grammar in GRAMMARS)]
        for role, how, *where in order
    ]
    return table(["fault", "moment", "outcome", *GRAMMARS], [row for row in rows if any(row[3:])])


OUTCOMES = "recovered", "resumed", "went on"
"""The run went on by itself, after a recovery; after `antiphon resume`; or without a recovery."""


def report(tally: Tally, settings: dict[str, Any], seconds: float, skipped: str) -> str:  # Any: numbers
    """Return the section of RESULTS.md."""
    slowest = max(tally.recoveries, default=0.0)
    return (
        f"`python -m benchmarks.chaos --faults {settings['faults']} --seed {settings['seed']}`: {len(tally.struck)} "
        f"faults in {tally.runs} runs of {', '.join(GRAMMARS)}, {settings['parallel']} at once, in {seconds / 60:.0f} "
        f"minutes ({machine()}). A fault took {median(tally.seconds or [0.0]):.1f} s in the median, with its recovery. "
        f"The runs recovered {len(tally.recoveries)} times by themselves (the longest regrouping took {slowest:.1f} s) "
        f"and were resumed {tally.resumes} times after the loss of driver, control store or raylet. Things that went "
        f"wrong: {len(tally.wrong)}. Final states bitwise those of the undisturbed runs, and each round once in the "
        f"committed history. {skipped}\n\n{counted(tally)}"
    )


def main(**settings: int) -> int:
    """Play all runs, print the report, and return the exit code: 1 if anything went wrong."""
    faults, reason, began = dealt(settings["faults"], settings["seed"]), why_not_cut(), time.monotonic()
    possible = [fault for fault in faults if not (reason and fault.how == CUT)]
    skipped = f"{len(faults) - len(possible)} faults were left out: {reason}." if reason else ""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        tally = played(possible, Path(folder), settings["parallel"])
        text = report(tally, settings, time.monotonic() - began, skipped)
        print(text, *tally.wrong, sep="\n")
        if tally.wrong:
            for each in sorted(Path(folder).glob("*.out")):
                print(each.name, each.read_text()[-6000:], sep="\n")
            return 1
        if settings["faults"] >= 200:
            write_section("Chaos", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(**options(__doc__, faults=200, seed=0, parallel=2)))
