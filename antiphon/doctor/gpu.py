"""The command `antiphon doctor --gpu`: test channels, precisions and a few rounds on the GPUs of this machine.

Results on GPUs are compared with results on the CPU. The devices are arguments of the checks, so that tests can run the
checks on CPUs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import ray
import torch
from torch import Tensor, nn

from antiphon.coordinator.devices import identity
from antiphon.coordinator.executor import Losses
from antiphon.coordinator.plan.placement import Placement, Precision, WorkerResources, hosted, spread
from antiphon.doctor.channels import Place, hold_laws, pairs
from antiphon.doctor.findings import Check, CheckFailed, NotRun
from antiphon.doctor.rounds import played_twice, small
from antiphon.grammars import Grammar
from antiphon.oracles.autocast import Autocast
from antiphon.oracles.operator import Operator
from antiphon.transport.nccl import MakeGroup
from antiphon.transport.rendezvous import StoreServer
from antiphon.transport.route import Site, route

TOLERANCE = {Precision.DECLARED: 1e-4, Precision.BFLOAT16: 5e-2, Precision.FLOAT16: 5e-3}
"""Largest accepted difference of outputs and gradients from float64 on the CPU, relative to their largest entry."""

LOSSES = 1e-3
"""Largest accepted relative difference between losses on GPUs and on the CPU in the first rounds."""

ROUNDS = 12
_TINY = 2.0**-40
_NONE = "no CUDA device"


@dataclass(frozen=True)
class Device:
    """A GPU. device: the torch device. name: a description for the report. uuid, bus: identify the physical GPU."""

    device: torch.device
    name: str
    uuid: str
    bus: str = ""

    def place(self, address: str) -> Place:
        """Return the place of a channel's end on this GPU. address: address of the machine."""
        return Place(self.device, Site(address, "cuda", self.uuid, self.bus))


def devices() -> tuple[Device, ...]:
    """Return the CUDA devices that torch sees in this process."""
    found = []
    for index in range(torch.cuda.device_count()):
        known = torch.cuda.get_device_properties(index)
        name = f"{known.name} ({known.total_memory / 2**30:.0f} GiB, compute capability {known.major}.{known.minor})"
        found.append(Device(torch.device("cuda", index), name, *identity(known)))
    return tuple(found)


def checks(
    found: Sequence[Device], ray_runs: bool, *, counted: bool = False, make: MakeGroup | None = None
) -> list[Check]:
    """Return all checks of GPUs: of channels, of precisions, and of a few rounds.

    found: the GPUs. ray_runs: whether Ray started.
    counted: whether the GPUs are logical: Ray counts them, and the workers compute on the CPU.
    make: makes an NCCL group; None uses torch's NCCL.
    """
    host = ray.util.get_node_ip_address()
    channels: list[tuple[str, list[Place]]] = [
        ("channel between two devices (nccl)", [each.place(host) for each in found[:2]]),
        ("channel on one device (host)", [each.place(host) for each in (*found[:1], *found[:1])]),
        ("channel between CPU and device (host)", [*(each.place(host) for each in found[:1]), Place.cpu(host)]),
    ]
    talking: list[Check] = [(name, partial(channel, places, len(found), make)) for name, places in channels]
    computing: list[Check] = [
        (f"precision {precision}", partial(precise, [each.device for each in found], precision))
        for precision in Precision
    ]
    playing: list[Check] = [
        (f"rounds of {name}", partial(rounds, name, len(found), ray_runs, counted)) for name in ("backprop", "gan")
    ]
    return [("devices", partial(named, found)), *talking, *computing, *playing]


def named(found: Sequence[Device]) -> str:
    """Check that this machine has GPUs, and return their names as one text. Raises CheckFailed if there are none."""
    if not found:
        built = "this build has no CUDA" if torch.version.cuda is None else f"built with CUDA {torch.version.cuda}"
        raise CheckFailed(
            f"torch {torch.__version__} sees no CUDA device ({built}); expected one or more. Install NVIDIA's driver "
            "and a CUDA build of torch, and look at CUDA_VISIBLE_DEVICES; without a GPU, placements can be rehearsed "
            "with logical_gpus = true."
        )
    return ", ".join(f"{each.device} {each.name}" for each in found)


def channel(places: Sequence[Place], known: int, make: MakeGroup | None = None) -> str:
    """Test the channel between two devices, and return the result as text.

    places: device and machine of both ends. known: the number of GPUs. make: makes an NCCL group; None uses torch's.
    Raises NotRun if there are too few GPUs.
    """
    if not known:
        raise NotRun(_NONE)
    if len(places) < 2:
        raise NotRun("one CUDA device only")
    host = places[0].site.address
    store = StoreServer(host)
    one, other = places
    laws = hold_laws(pairs(store.address, (one, other), make))
    del store
    return f"{laws} laws hold between {one.device} and {other.device} by {route(one.site, other.site)}"


def precise(on: Sequence[torch.device], precision: Precision) -> str:
    """Compare outputs and gradients of a small network on each device with float64 on the CPU.

    Returns the result as text. Raises CheckFailed if the difference is too large, NotRun if there are no devices.
    """
    if not on:
        raise NotRun(_NONE)
    worst = max(_error(device, precision) for device in on)
    if not worst <= TOLERANCE[precision]:
        raise CheckFailed(
            f"values and gradients are off by {worst:.1e} of the largest; expected at most {TOLERANCE[precision]:g}. "
            "Try another build of torch; report this, with all lines above."
        )
    return f"within {worst:.1e} of float64 on the CPU (at most {TOLERANCE[precision]:g})"


def rounds(name: str, known: int, ray_runs: bool, counted: bool = False) -> str:
    """Compare the losses of a few rounds on Ray workers with GPUs with the losses of the same rounds on the CPU.

    name: name of the grammar. known: number of GPUs. counted: whether the GPUs are logical: Ray counts them, and the
    workers compute on the CPU. Returns the result as text. Raises CheckFailed if the losses differ too much.
    """
    if not known:
        raise NotRun(_NONE)
    if not ray_runs:
        raise NotRun("Ray did not start")
    grammar = small(name)
    placement = on_devices(grammar, known, counted)
    expected, found, taken = played_twice(grammar, placement, ROUNDS, f"doctor-{name}")
    worst = loss_difference(expected, found)
    if not worst <= LOSSES:
        raise CheckFailed(
            f"losses of {ROUNDS} rounds differ by {worst:.1e} from those on the CPU; expected at most {LOSSES:g}. "
            "Report this, with all lines above."
        )
    return f"{ROUNDS} rounds over {taken}: losses within {worst:.1e} of the CPU's (at most {LOSSES:g})"


def loss_difference(expected: Mapping[str, Losses], found: Mapping[str, Losses]) -> float:
    """Return the largest difference between losses of the same rounds, relative to the expected ones.

    It is NaN if a loss is NaN.
    """
    apart = [
        abs(value - known) / max(abs(known), 1e-6)
        for loss, told in expected.items()
        for value, known in zip(found[loss].values, told.values, strict=True)
    ]
    return float(torch.tensor(apart).max())  # unlike Python's own, it does not pass over NaN


def on_devices(grammar: Grammar, known: int, counted: bool) -> Placement:
    """Return a placement of all players of a grammar on GPUs.

    With one GPU, all players share it. With more, the last player has its own GPU and the others share one.
    known: number of GPUs. counted: whether the GPUs are logical: Ray only counts them.
    """
    players = [player.name for player in grammar.query.players]
    alone = 1 if known > 1 else 0
    sharing = players[: len(players) - alone]
    share = int(100 / len(sharing)) / 100
    demands = [(each, WorkerResources(num_gpus=share if share < 1 else 1.0)) for each in sharing]
    demands += [(each, WorkerResources(num_gpus=1.0)) for each in players[len(sharing) :]]
    rest = [name for name in hosted(grammar) if name not in players]  # on one worker: fewer workers start faster
    return replace(spread(grammar, fuse=[rest]), resources=tuple(demands), logical_gpus=counted)


def _error(device: torch.device, precision: Precision) -> float:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(48, 64), nn.Tanh(), nn.Linear(64, 32))
    x, told = torch.randn(40, 48), torch.randn(40, 32) / 40
    exact = _played(module.double(), x.double(), told.double(), None)
    low = None if precision is Precision.DECLARED else getattr(torch, precision)
    module.float().to(device)
    found = _played(module, x.to(device), told.to(device), low)
    worst = max(_relative(each, known) for each, known in zip(found, exact, strict=True))
    if low is torch.float16:  # tiny gradients must not underflow: the result has to scale with them
        tiny = _played(module, x.to(device), told.to(device) * _TINY, low)
        worst = max(worst, *(_relative(each / _TINY, known) for each, known in zip(tiny[1:], exact[1:], strict=True)))
    return worst


def _played(module: nn.Module, x: Tensor, told: Tensor, low: torch.dtype | None) -> list[Tensor]:
    """Compute a module and its vector-Jacobian product, and return [output, gradient of x, gradients of parameters].

    x: the input. told: the gradient of the output. low: the dtype of autocast; None for no autocast.
    """
    function = module if low is None else Autocast(module, x.device.type, low, [x.dtype])
    box = Operator("player 'Doctor'", function, [((40, 32), x.dtype)], 1, [0], tuple(module.parameters()))
    (value,) = box.query([x], 0)
    upstream, own = box.respond([told], [0])
    return [value, *upstream, *own]


def _relative(found: Tensor, known: Tensor) -> float:
    return float((found.double().cpu() - known).abs().max() / known.abs().max())
