"""Export a trained player to a file that plain PyTorch loads, without antiphon."""

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from antiphon.agents.player import Player
from antiphon.errors import FOREIGN, ExperimentError, unstopped
from antiphon.experiments.load import read_experiment
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.query import Kind
from antiphon.grammars.types import Batch
from antiphon.output_file import check_output, write
from antiphon.plugins import nearest
from antiphon.runs.checkpoints import Checkpoints
from antiphon.runs.folder import EXPERIMENT, check_is_run

STATE_DICT, MODULE = (".safetensors", ".pt"), (".pt2",)
"""Endings of the file with a `state_dict`, and of the file with a module."""


def export_player(
    path: Path,
    player: str,
    out: Path | None = None,
    at: int | None = None,
    module: bool = False,
    allow: Iterable[str] | None = (),
) -> Path:
    """Write a player of a run to a file, and return the file's path.

    path: the run folder. out: the file; by default the player's name, in the current folder. at: the round of the
    checkpoint; None is the newest. module: write the module itself by `torch.export`, in evaluation mode; else its
    `state_dict`. allow: modules whose code the folder's experiment may name. Other modules are refused, because another
    person may have made the folder. None allows all.
    Raises ExperimentError if there is no such run, player or checkpoint, or if torch cannot write it.
    """
    endings = MODULE if module else STATE_DICT
    out = out or Path(f"{player}{endings[0]}")
    check_output(out, endings)
    check_is_run(path)
    experiment = read_experiment(path / EXPERIMENT, allow=allow)
    grammar = experiment.build()
    found = _player(grammar, player)
    _, states = Checkpoints(path, experiment.checkpoint_folder).load(at, signature=grammar.signature)
    found.load(states[player])
    write(out, _exported(found.module, grammar, player) if module else _state_dict(found.module, player, out.suffix))
    return out


def _player(grammar: Grammar, name: str) -> Player:
    declared = grammar.query.player_by_name
    if name not in declared:
        raise ExperimentError(
            f"grammar {grammar.name!r} has no player {name!r}; expected one of {', '.join(declared)}. "
            f"{nearest(name, list(declared))}Correct --player."
        )
    return Player(name, declared[name].factory, None, seed=0)


def _state_dict(module: nn.Module, player: str, ending: str) -> bytes:
    """Return the module's `state_dict` as bytes: safetensors, or a file for `torch.load` with `weights_only=True`."""
    state = module.state_dict()
    odd = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if ending == ".pt":
        file = io.BytesIO()
        torch.save(state, file)
        try:
            file.seek(0)
            torch.load(file, weights_only=True)
        except FOREIGN as error:
            raise _refusal(
                player, odd or ["it"], "a state_dict that torch.load reads with weights_only", error
            ) from error
        return file.getvalue()
    try:
        if odd:
            raise TypeError("no tensor")
        return safetensors.torch.save({key: value.contiguous().clone() for key, value in state.items()})
    except FOREIGN as error:
        raise _refusal(player, odd, "tensors that safetensors can hold", error) from error


def _exported(module: nn.Module, grammar: Grammar, player: str) -> bytes:
    """Return the bytes that `torch.export` writes for the module. Batch dimensions may have any size later."""
    query = grammar.query
    node = next(each for each in query.nodes if each.kind is Kind.PLAYER and each.owner == player)
    types = [query.by_name[port.node].outputs[port.index] for port in node.inputs]
    examples = tuple(torch.zeros(each.sized(query.sizes), dtype=each.dtype) for each in types)
    batch = torch.export.Dim.AUTO
    free = tuple({axis: batch for axis, size in enumerate(each.shape) if isinstance(size, Batch)} for each in types)
    file = io.BytesIO()
    try:
        with _quiet():
            torch.export.save(torch.export.export(module.eval(), examples, dynamic_shapes=free), file)
    except FOREIGN as error:
        raise _refusal(player, [], "a module that torch.export can trace", error) from error
    return file.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard the output and the log of torch while it traces a module. The error has the reason of a failure."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _refusal(player: str, parts: list[str], expected: str, error: BaseException) -> ExperimentError:
    why = (unstopped(error).strip().splitlines() or [""])[0]
    return ExperimentError(
        f"player {player!r} cannot be exported: {parts[0] if parts else 'its module'!r} failed with "
        f"{type(error).__name__}: {why}. Expected "
        f"{expected}. Export another format (--out NAME.pt, or without --module), or load the checkpoint in Python."
    )
