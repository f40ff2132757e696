"""The command line: `antiphon list | show | check | cost | run | resume | evaluate | export | bench | doctor`, and for
clusters `launch | status | attach | stop | manifest`.

Exit codes: 2 for bad input, 1 for a failed run or a broken promise, 130 after Ctrl-C, 143 for a run that was asked to
stop, 129 for a closed terminal.
"""

import atexit
import gc
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import antiphon
from antiphon.cli.cluster_commands import clusters
from antiphon.cli.exit_codes import Commands
from antiphon.cli.options import Allowed, Changes, Executor, Json, Name, Placing, Rounds, Seed, Transport
from antiphon.cli.terminal import echo, say, screen
from antiphon.errors import ExperimentError

# Each command imports what it needs, so that `--help` answers at once.

app = typer.Typer(
    cls=Commands,
    name="antiphon",
    help="Deep learning as a game of players and oracles.",
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)


def main() -> None:
    """Run the command line: the function that the installed script `antiphon` calls."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # warnings of other libraries are meant for their developers
    atexit.register(gc.freeze)  # else Python looks for garbage in all of torch, for half a second, before it ends
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        # An installed script does not search the current folder. It comes last, so that it shadows no library.
        sys.path.append(here)
    app()


@app.callback(invoke_without_command=True)
def antiphon_command(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Deep learning as a game of players and oracles."""
    if version:
        echo(f"antiphon {antiphon.__version__}")
        raise typer.Exit


@app.command("list")
def list_command() -> None:
    """List the library's grammars, the included experiments, and installed plugins."""
    from antiphon.cli.listing import listing

    echo(listing())


@app.command("show")
def show_command(
    grammar: Name,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Output file: .svg, .png, .html, .mmd, .md, .dot, .gv; schedule: .svg, .json, .txt; "
            "placement: .svg, .png, .txt."
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Mark the differences from another grammar, or from chain-rule.")
    ] = None,
    changes: Changes = None,
    schedule: Annotated[bool, typer.Option("--schedule", help="Show the schedule of a round, not the graphs.")] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="With --schedule: play this many rounds, show them.")
    ] = None,
    executor: Annotated[str | None, typer.Option(help="With --schedule: inline or ray.")] = None,
    placement: Placing = None,
    order: Annotated[str | None, typer.Option(help="With --schedule: gpipe, 1f1b or zero-bubble.")] = None,
) -> None:
    """Show a grammar, its schedule, or its placement, as text or as a picture in a file."""
    if placement is not None and not schedule and against is not None:
        raise ExperimentError("show was given --against and --placement; expected one of them. Leave one out.")
    strange = {"against": against} if schedule else {"rounds": rounds, "executor": executor, "order": order}
    for name, value in strange.items():
        if value is not None:
            other = "a picture of the graphs: leave out --schedule" if schedule else "a schedule: add --schedule"
            raise ExperimentError(f"show was given --{name} {value}; expected {other}, or leave out --{name}.")
    from antiphon.experiments.load import merged, read_experiment

    experiment = read_experiment(grammar, merged(changes, executor=executor, order=order), placement)
    if schedule:
        from antiphon.cli.show_schedule import schedule_command

        text = schedule_command(experiment, rounds=rounds, out=out)
    elif placement is not None:
        from antiphon.cli.show_placement import placement_command

        text = placement_command(experiment, out)
    else:
        from antiphon.cli.show import shown

        text = shown(experiment, out, against)
    echo(text.rstrip("\n"))


@app.command("run")
def run_command(
    grammar: Name,
    changes: Changes = None,
    rounds: Rounds = None,
    seed: Seed = None,
    executor: Executor = None,
    transport: Transport = None,
    placement: Placing = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    address: Annotated[
        str | None, typer.Option(help="A cluster that this machine belongs to: HOST:PORT, or auto.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name on that cluster.")] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="Trace the last batch of rounds to this .json file; show where time went."),
    ] = None,
) -> None:
    """Run an experiment, then evaluate it."""
    if profile is not None:
        from antiphon.output_file import check_output

        check_output(profile, (".json",))
    if name is not None and address is None:
        raise ExperimentError(f"run was given --name {name}; expected --address with it. Leave it out here.")
    if address is not None and executor == "inline":
        raise ExperimentError("run was given --address and --executor inline; expected ray. Leave one of them out.")
    from antiphon.experiments.load import merged, read_experiment

    executor = "ray" if address is not None else executor
    given = merged(changes, rounds=rounds, seed=seed, executor=executor, transport=transport)
    experiment = read_experiment(grammar, given, placement)

    from antiphon.cli.progress import Watched, outcome
    from antiphon.runs.run import run_experiment

    console = screen()
    if address is not None:
        from antiphon.deploy.finding import checked_name, fresh_name

        name = checked_name(name or fresh_name(experiment.grammar))
        say(console, f"run {name} on the cluster at {address}")
    finished = run_experiment(experiment, out, Watched(console), name=name, address=address, record=profile is not None)
    console.print(outcome(finished))
    if profile is not None and finished.recording is not None:
        from antiphon.cli.profile import profile_text

        say(console, profile_text(finished.schedule, finished.recording, profile))
    _end(console, finished, address)


@app.command("resume")
def resume_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a run that has ended.")],
    at: Annotated[int | None, typer.Option(min=0, help="The round of the checkpoint (default: the newest).")] = None,
    changes: Changes = None,
    rounds: Rounds = None,
    executor: Executor = None,
    transport: Transport = None,
    placement: Placing = None,
    address: Annotated[
        str | None, typer.Option(help="A cluster that this machine belongs to: HOST:PORT, or auto.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name on that cluster.")] = None,
    allow: Allowed = None,
) -> None:
    """Continue a run from a checkpoint, with the numbers of a run that was never interrupted; then evaluate it."""
    from antiphon.cli.progress import Watched, outcome
    from antiphon.experiments.load import merged
    from antiphon.runs.resume import resume_experiment

    executor = "ray" if address is not None else executor
    given = merged(changes, rounds=rounds, executor=executor, transport=transport)
    console = screen()
    more = {"at": at, "placement": placement, "name": name, "address": address, "allow": allow or ()}
    finished = resume_experiment(folder, given, Watched(console), **more)
    console.print(outcome(finished))
    _end(console, finished, address)


def _end(console: Any, finished: Any, address: str | None) -> None:  # Any: imported lazily
    """Print the run folder and the evaluation. If a signal has ended the run, exit with its code."""
    from antiphon.cli.progress import tell_spread

    if finished.evaluation is not None:
        tell_spread(console, finished.evaluation)
    say(console, f"run folder: {finished.folder}{f', on {socket.gethostname()}' if address else ''}")
    if finished.evaluation is not None:
        say(console, finished.evaluation.line)
    if finished.stopped_by:
        raise typer.Exit(128 + finished.stopped_by)


app.add_typer(clusters)


@app.command("evaluate")
def evaluate_command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    episodes: Annotated[int | None, typer.Option(min=1, help="How many episodes; each has its own seed.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Maximum number of steps of an episode.")] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The checkpoint with the best evaluation during training.")
    ] = False,
    video: Annotated[Path | None, typer.Option(help="Film the first episode: .mp4 or .gif.")] = None,
    allow: Allowed = None,
) -> None:
    """Evaluate the newest checkpoint of a run, with fixed seeds or on held-out data."""
    if video is not None:
        from antiphon.output_file import check_output

        check_output(video, (".mp4", ".gif"))
    from antiphon.cli.progress import tell_spread
    from antiphon.runs.evaluation import evaluate_folder

    evaluation = evaluate_folder(folder, episodes, max_steps, allow or (), best=best, video=video)
    console = screen()
    if video is not None:
        say(console, f"video: {video}")
    tell_spread(console, evaluation)
    say(console, evaluation.line)


@app.command("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    player: Annotated[str, typer.Option(help="The player's name.")],
    at: Annotated[int | None, typer.Option(min=0, help="The round of the checkpoint (default: the newest).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output file: .safetensors or .pt; with --module: .pt2 (default: the name).")
    ] = None,
    module: Annotated[bool, typer.Option("--module", help="Write the module with torch.export.")] = False,
    allow: Allowed = None,
) -> None:
    """Write a trained player to a file that plain PyTorch loads."""
    from antiphon.runs.export import export_player

    echo(f"player {player}: {export_player(folder, player, out, at, module, allow or ())}")


@app.command("check")
def check_command(
    grammars: Annotated[list[str] | None, typer.Argument(help="Library grammars, or module:factory.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every grammar of the library.")] = False,
    as_json: Json = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first random instance.")] = 0,
    instances: Annotated[int | None, typer.Option(min=1, help="Number of random instances per family.")] = None,
    staleness: Annotated[
        str | None,
        typer.Option(metavar="N|PASS=N", help="Measure games whose queries use parameters N rounds old."),
    ] = None,
) -> None:
    """Measure the promises of grammars on random instances in float64. Exit 1 if a promise is broken."""
    from antiphon.analysis.check import check, parsed_staleness
    from antiphon.recipes import LIBRARY

    names = LIBRARY if everything else tuple(grammars or ())
    if not names or (everything and grammars):
        raise ExperimentError(
            f"check was given {'--all and names' if everything else 'no grammar'}; expected one or more of "
            f"{', '.join(LIBRARY)}, 'module:factory', or --all alone. Name what is to be checked."
        )
    ages = parsed_staleness(staleness) if staleness is not None else 0
    report = check(*names, seed=seed, instances=instances, processes=os.cpu_count() or 1, staleness=ages)
    echo(report.as_json if as_json else f"{report.text}\n\n{report.summary}")
    if report.failed:
        raise typer.Exit(1)


@app.command("cost")
def cost_command(
    grammars: Annotated[list[str], typer.Argument(help="Names that `list` shows, TOML files, or module:factory.")],
    changes: Changes = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds to count (default: one period).")] = None,
    executor: Executor = None,
    placement: Placing = None,
    scan: Annotated[str | None, typer.Option(metavar="KEY=V1,V2,...", help="Count for each value of a key.")] = None,
    out: Annotated[Path | None, typer.Option(help="Plot the scan: .png, .svg or .pdf.")] = None,
    messages: Annotated[bool, typer.Option("--messages", help="List every message, with its locality.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print totals as JSON.")] = False,
) -> None:
    """Count the communication of grammars: predicted, and measured in a run. Exit 1 if the two differ."""
    from antiphon.cli.cost import cost_command
    from antiphon.experiments.load import merged

    options = {"rounds": rounds, "placement": placement, "scan": scan, "out": out, "messages": messages}
    disagreements = cost_command(screen(), grammars, merged(changes, executor=executor), **options, json=as_json)
    for line in disagreements:
        echo(f"disagreement: {line}", err=True)
    if disagreements:
        raise typer.Exit(1)


@app.command("manifest")
def manifest_command(
    kind: Annotated[str, typer.Argument(help="ray-up, kuberay-cluster, kuberay-job, slurm, docker or constraints.")],
    experiment: Annotated[str, typer.Argument(help="The experiment to size the cluster for, as for `run`.")] = "",
    changes: Changes = None,
    placement: Placing = None,
    name: Annotated[str, typer.Option(help="Name of the cluster or job (default: from the grammar).")] = "",
    image: Annotated[str, typer.Option(help="The container image.")] = "",
    machine_cpus: Annotated[int, typer.Option(min=1, help="CPUs of one machine.")] = 8,
    machine_gpus: Annotated[int, typer.Option(min=1, help="GPUs of one GPU machine.")] = 1,
    machine_memory: Annotated[int, typer.Option(min=1, help="Memory of one machine, in GiB.")] = 16,
    out: Annotated[Path | None, typer.Option(help="The file to write (default: print it).")] = None,
) -> None:
    """Write a file that starts a cluster large enough for an experiment, with authentication on."""
    from antiphon.cli.manifest import manifest_command
    from antiphon.deploy.manifests import Size
    from antiphon.experiments.load import merged

    size = Size(machine_cpus, machine_gpus, machine_memory)
    given = merged(changes, executor="ray")
    echo(manifest_command(kind, experiment, given, placement, name=name, image=image, size=size, out=out))


@app.command("bench")
def bench_command(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks to run (default: list them).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Run all benchmarks. This takes hours.")] = False,
) -> None:
    """List the benchmarks of a checkout, or run some. Figures and plots go to benchmarks/. Exit 1 if one failed."""
    from antiphon.cli.bench import benchmarks, failed_of, listed

    found = benchmarks()
    if not names and not everything:
        echo(listed(found))
        return
    if names and everything:
        raise ExperimentError(f"bench was given --all and {names[0]!r}; expected one of them. Leave one out.")
    failed = failed_of(names or list(found))
    if failed:
        echo(f"failed: {', '.join(failed)}; see their errors above", err=True)
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command(
    gpu: Annotated[bool, typer.Option("--gpu", help="Test channels, precisions and a few rounds on GPUs.")] = False,
    address: Annotated[str | None, typer.Option(help="A Ray cluster (default: start Ray here).")] = None,
) -> None:
    """Check whether this machine has what a run needs. Print one line per check; exit 1 if one failed."""
    from antiphon.doctor.findings import Health, summary
    from antiphon.doctor.machine import examination

    findings = []
    for finding in examination(gpu, address):
        findings.append(finding)
        echo(finding.line)
    echo(f"{summary(findings)}; to report a problem, paste all lines into an issue")
    if any(each.verdict is Health.FAILED for each in findings):
        raise typer.Exit(1)
