"""Declares the commands for the runs of a cluster: `antiphon launch | status | attach | stop`."""

import json
from typing import Annotated, Any

import typer

from antiphon.cli.options import Address, Changes, Json, Name, Placing, Rounds, Run, Seed, Transport
from antiphon.cli.terminal import echo, screen

# As in the module `app`, each command imports what it needs.

clusters = typer.Typer()


@clusters.command("launch")
def launch_command(
    grammar: Name,
    address: Address = None,
    changes: Changes = None,
    rounds: Rounds = None,
    seed: Seed = None,
    transport: Transport = None,
    placement: Placing = None,
    name: Annotated[str | None, typer.Option(help="The run's name, unique on the cluster.")] = None,
    out: Annotated[
        str | None, typer.Option(help="The run folder on the cluster (default: ~/antiphon-runs/NAME).")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the log.")] = False,
) -> None:
    """Run an experiment as a job of a Ray cluster, and follow its log. The job does not need this machine."""
    from antiphon.experiments.load import merged, read_experiment

    given = merged(changes, rounds=rounds, seed=seed, transport=transport, executor="ray")
    experiment = read_experiment(grammar, given, placement)

    from antiphon.cli.launch import launch_run

    jobs, name = launch_run(experiment, address, name, out)
    echo(f"run {name} on the cluster at {jobs.url}")
    _follow(jobs, name) if not detach else echo(_again(name, jobs.url))


@clusters.command("status")
def status_command(
    name: Annotated[str | None, typer.Argument(help="The run's name.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Show the status of all runs of a cluster, or of one run."""
    from antiphon.cli.cluster import statuses
    from antiphon.cli.status import details_of, table_of

    runs = statuses(address, name)
    if as_json:
        echo(json.dumps(runs, indent=1))
    else:
        screen().print(table_of(runs) if name is None else details_of(runs[0]))


@clusters.command("attach")
def attach_command(
    name: Run,
    address: Address = None,
    tail: Annotated[int | None, typer.Option(min=0, help="Start this many lines before the end.")] = None,
) -> None:
    """Follow the log of a run from its beginning, and exit with the run's exit code."""
    from antiphon.cli.cluster import jobs_at

    _follow(jobs_at(address), name, tail)


@clusters.command("stop")
def stop_command(
    name: Run,
    address: Address = None,
    now: Annotated[bool, typer.Option("--now", help="Kill the run, without a checkpoint.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end; then fail.")] = 120.0,
) -> None:
    """End a run after its current batch of rounds, with a checkpoint. Return when all its processes have ended."""
    from antiphon.cli.cluster import stop_run

    stop_run(address, name, now, wait, echo)


def _follow(jobs: Any, name: str, lines: int | None = None) -> None:  # Any: Jobs, which is imported lazily
    from antiphon.cli.cluster import follow_run

    try:
        code = follow_run(jobs, name, lambda text: typer.echo(text, nl=False), lines)
    except KeyboardInterrupt:
        echo(f"\nno longer followed; {_again(name, jobs.url)}", err=True)
        raise typer.Exit(130) from None
    if code:
        raise typer.Exit(code)


def _again(name: str, url: str) -> str:
    return f"the run goes on: antiphon attach {name} --address {url}"
