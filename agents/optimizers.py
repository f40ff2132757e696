"""Makes optimizers and learning rate schedulers of torch.optim by name, and refuses those that players cannot use."""

import collections.abc
import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from antiphon.agents.layout import is_dense
from antiphon.errors import ExperimentError, unstopped
from antiphon.grammars.numbers import told

REFUSED_OPTIMIZERS: Mapping[str, str] = {
    "LBFGS": "it evaluates the loss again within a move, and a player receives one response per round",
    "SparseAdam": "it takes sparse gradients only, and responses are dense",
}

REFUSED_SCHEDULERS: Mapping[str, str] = {
    "LambdaLR": "a checkpoint cannot hold its function",
    "MultiplicativeLR": "a checkpoint cannot hold its function",
    "ReduceLROnPlateau": "it follows a metric, and an agent receives responses only",
    "ChainedScheduler": "it is built from live schedulers, which have no name in an experiment",
    "SequentialLR": "it is built from live schedulers, which have no name in an experiment",
}

# By default torch loops over the parameters on the CPU, which is faster there than `foreach`. Fused kernels halve the
# time of a step for these three optimizers. They do not speed up SGD, and other optimizers have none.
FASTER_FUSED = frozenset({"Adam", "AdamW", "Adagrad"})
_ABOUT_KERNELS = frozenset({"fused", "foreach", "differentiable", "capturable"})
_FUSED_DTYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


def _without_compiler() -> None:
    """Keep torch.optim from importing torch's compiler, which agents do not use. The import takes a second per process.

    torch itself marks functions with the attribute `__dynamo_disable`. If a version of torch renames the attribute,
    nothing fails, but the compiler is imported again.
    """
    for method in vars(Optimizer).values():
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and "_compile" in getattr(getattr(method, "__code__", None), "co_filename", ""):
            inner.__dict__.setdefault("__dynamo_disable", inner)


def make_optimizer(name: str, parameters: Sequence[Tensor], arguments: Mapping[str, Any]) -> Optimizer:
    """Make the optimizer `torch.optim.<name>` for the tensors `parameters`, with fused kernels if they are faster.

    Raises ExperimentError for a name or an argument that torch.optim does not have, or that a player cannot use.
    """
    _without_compiler()
    kind = _find("optimizer", name, torch.optim, Optimizer, REFUSED_OPTIMIZERS, "'Adam' or 'SGD'")
    _check_arguments("optimizer", name, kind, arguments, given={"params"})
    if arguments.get("differentiable"):
        raise ExperimentError(
            f"optimizer {name!r} was asked to be differentiable; expected a move that nothing differentiates through. "
            "Remove 'differentiable'."
        )
    _refuse_unfit(name, parameters, arguments)
    make = functools.partial(kind, **_fused(name, parameters, arguments))
    return _call("optimizer", name, make, parameters, arguments)


def make_scheduler(name: str, optimizer: Optimizer, arguments: Mapping[str, Any]) -> LRScheduler:
    """Make the scheduler `torch.optim.lr_scheduler.<name>` of this optimizer; it takes one step per move.

    Raises ExperimentError for a name or an argument that torch does not have, or that a checkpoint cannot hold.
    """
    instead = "'CosineAnnealingLR' or 'OneCycleLR'"
    kind = _find("scheduler", name, lr_scheduler, LRScheduler, REFUSED_SCHEDULERS, instead)
    _check_arguments("scheduler", name, kind, arguments, given={"optimizer", "last_epoch"})
    return _call("scheduler", name, kind, optimizer, arguments)


def _fused(name: str, parameters: Sequence[Tensor], arguments: Mapping[str, Any]) -> dict[str, bool]:
    untold = name in FASTER_FUSED and not _ABOUT_KERNELS.intersection(arguments)
    able = all(each.dtype in _FUSED_DTYPES and each.device.type == "cpu" and is_dense(each) for each in parameters)
    return {"fused": True} if untold and able else {}


def _refuse_unfit(name: str, parameters: Sequence[Tensor], arguments: Mapping[str, Any]) -> None:
    """Raise ExperimentError where torch would raise an unclear error, or compute wrong numbers."""
    for each in parameters:
        if name == "Muon" and each.ndim != 2:
            raise ExperimentError(
                f"optimizer 'Muon' moves matrices only, and a parameter of shape {tuple(each.shape)} arrived; expected "
                "two dimensions. Make this player's layers without bias, or name another optimizer for it."
            )
        if arguments.get("fused") and not is_dense(each):
            raise ExperimentError(
                f"optimizer {name!r} with fused=True walks through memory without gaps, and a parameter of shape "
                f"{tuple(each.shape)} with strides {each.stride()} arrived. Remove 'fused', or make the parameter of a "
                "contiguous tensor."
            )


def _find(role: str, name: str, module: ModuleType, root: type, refused: Mapping[str, str], instead: str) -> type:
    if name in refused:
        raise ExperimentError(f"{role} {name!r} is not for players: {refused[name]}. Name another, such as {instead}.")
    known = _known(module, root, refused)
    if name not in known:
        raise ExperimentError(
            f"{module.__name__} has no {role} {name!r} for players; expected {_nearest(name, known)}. Correct the name."
        )
    return known[name]


def _known(module: ModuleType, root: type, refused: Mapping[str, str]) -> dict[str, type]:
    public = {name: kind for name, kind in vars(module).items() if isinstance(kind, type) and not name.startswith("_")}
    kinds = {name: kind for name, kind in public.items() if issubclass(kind, root) and kind is not root}
    return {name: kind for name, kind in kinds.items() if name not in refused}


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the known names that are most similar to `name`, as text; all known names if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    return " or ".join(repr(by_lower[lower]) for lower in near or by_lower)


def _check_arguments(role: str, name: str, kind: type, arguments: Mapping[str, Any], given: set[str]) -> None:
    taken = [parameter for parameter in inspect.signature(kind).parameters if parameter not in given]
    hints = get_type_hints(kind.__init__, localns=vars(collections.abc))
    for argument, value in arguments.items():
        if argument not in taken:
            raise ExperimentError(
                f"{role} {name!r} takes no argument {argument!r}; expected some of {', '.join(taken)}. "
                "Remove or rename it."
            )
        options = _options(hints.get(argument, Any))
        if not _fits(value, options):
            raise ExperimentError(
                f"{role} {name!r} takes {argument!r} as {_told(options)}, and {told(value)} arrived. Correct the value."
            )


def _options(hint: Any) -> tuple[Any, ...]:  # Any: annotations have no common type
    """Return the types that the annotation `hint` allows: the members of a union, or the annotation itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, options: Sequence[Any]) -> bool:  # Any: types and generic types
    """Whether `value` has one of the types in `options`. torch does not check it: it takes "False" for true."""
    chosen = [each for option in options if get_origin(option) is Literal for each in get_args(option)]
    if Any in options or value in chosen:
        return True
    if isinstance(value, int) and not isinstance(value, bool):
        return int in options or float in options
    if isinstance(value, bool | float | str | None):
        return type(value) in options
    return any(get_origin(option) is not None for option in options)  # a tuple: torch checks its elements


def _told(options: Sequence[Any]) -> str:  # Any: see `_fits`
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a string", type(None): "None"}
    chosen = [repr(each) for option in options if get_origin(option) is Literal for each in get_args(option)]
    several = any(get_origin(option) not in (None, Literal) for option in options)
    return " or ".join([*(words[each] for each in options if each in words), *chosen, *(["a list"] * several)])


def _call(role: str, name: str, make: Callable[..., Any], subject: object, arguments: Mapping[str, Any]) -> Any:
    """Return an optimizer or a scheduler of torch: the result of `make(subject, **arguments)`.

    make: the class. subject: the parameters for an optimizer, or the optimizer for a scheduler. If the call fails,
    raises ExperimentError with torch's message.
    """
    try:
        return make(subject, **arguments)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise ExperimentError(
            f"{role} {name!r} refuses its arguments {dict(arguments)}: {unstopped(error)}. Correct the values."
        ) from error
