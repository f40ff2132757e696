"""Arguments and options that several commands of the command line have, as annotated types for typer."""

from typing import Annotated

import typer

_EXPERIMENT = "A name that `list` shows, a TOML file, or module:factory."
_CLUSTER = "Cluster address: http://HEAD:8265 (dashboard), HEAD:6379, or auto. Default: RAY_ADDRESS."
Name = Annotated[str, typer.Argument(help=_EXPERIMENT)]
Changes = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")]
Rounds = Annotated[int | None, typer.Option(help="How many rounds to play.")]
Seed = Annotated[int | None, typer.Option(help="The random seed of the run.")]
Executor = Annotated[str | None, typer.Option(help="Executor: inline or ray.")]
Transport = Annotated[str | None, typer.Option(help="Between Ray workers: process-group or object-store.")]
Placing = Annotated[str | None, typer.Option(help="A placement: own, spread, together, or a TOML file.")]
Address = Annotated[str | None, typer.Option(help=_CLUSTER)]
Run = Annotated[str, typer.Argument(help="The run's name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Allowed = Annotated[
    list[str] | None, typer.Option("--allow", metavar="MODULE", help="Allow the folder to run code of this module.")
]
