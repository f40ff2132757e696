"""Sharded parameters: shard a module, gather the shards for a checkpoint, and shard again when it is loaded."""

import sys

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from antiphon.errors import PlacementError

ELEMENTWISE = (
    *("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD"),
)
"""Optimizers that update each element from its own gradient only. So they change a shard as the whole parameter."""


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard the parameters of a module over the workers of the mesh, in place. Each child module is gathered
    separately.

    Gradients are summed, not averaged, because each cotangent already contains the mean over the batch.
    Raises PlacementError for parameters that FSDP cannot shard.
    """
    _refuse_columns(module)
    from torch.distributed.fsdp import FSDPModule, fully_shard  # imported here, because it takes a second

    children = [child for child in module.children() if any(True for _ in child.parameters())]
    for each in (*children, module):
        fully_shard(each, mesh=mesh)
    for each in module.modules():
        if isinstance(each, FSDPModule):
            each.set_gradient_divide_factor(1.0)
            each.set_force_sum_reduction_for_comms(True)  # gloo supports only sums


def _refuse_columns(module: nn.Module) -> None:
    for name, value in module.named_parameters():
        if not value.is_contiguous():
            raise PlacementError(
                f"a player that is to be sharded has the parameter {name!r} with strides {value.stride()} for the "
                f"shape {tuple(value.shape)}; expected one that lies in memory row by row. "
                "Make it of x.contiguous(), or leave the player whole."
            )


def is_sharded(value: Tensor) -> bool:
    """Whether a tensor is sharded (a DTensor).

    >>> import torch
    >>> is_sharded(torch.zeros(3))
    False
    """
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(value, tensors.DTensor)


def whole(value: Tensor) -> Tensor:
    """Return a copy of the whole tensor.

    A sharded tensor is gathered: all workers with a shard must call this together.
    """
    found = value.detach()
    return found.full_tensor().clone() if is_sharded(found) else found.clone()  # pyright: ignore[reportAttributeAccessIssue]


def part(value: Tensor) -> Tensor:
    """Return the local shard of a sharded value, or the value itself if it is not sharded."""
    return value.to_local() if is_sharded(value) else value  # pyright: ignore[reportAttributeAccessIssue]


def in_parts(value: Tensor, like: Tensor) -> Tensor:
    """Shard `value`, a tensor that is not sharded, over the same workers and dimensions as the tensor `like`.

    If `like` is not sharded or has another shape, return `value` unchanged.
    """
    if not is_sharded(like) or is_sharded(value) or value.shape != like.shape:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)  # as `is_sharded` says
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def refuse_agent(player: str, agent: str, optimizer: str) -> None:
    """Raise PlacementError unless the agent of a sharded player moves each element of the parameters by itself.

    Other agents would move shards differently from whole parameters.
    """
    if agent != "torch" or optimizer not in ELEMENTWISE:
        raise PlacementError(
            f"player {player!r} is sharded and its agent is {optimizer if agent == 'torch' else agent!r}; expected "
            f"one of torch's that moves each element by itself: {', '.join(ELEMENTWISE)}. "
            "Name one of these, or leave the player whole."
        )
