"""Which device a worker computes on, from what Ray gave it and what torch sees there."""

import dataclasses
import functools

import pytest
import torch
from torch import nn

from antiphon.coordinator.devices import CPU, Seen, generators, on_device, operator_on, settle
from antiphon.coordinator.sharding import refuse_shared_devices
from antiphon.errors import PlacementError
from antiphon.grammars import Factory
from antiphon.grammars.maps import fixed_matrix, scale
from antiphon.transport.route import Route, Site, carrier, route
from rigs.devices import AWAY, Away

TWO = (("GPU-aaaa", "0000:07:00"), ("GPU-bbbb", "0000:0a:00"))
SEEN = Seen("node1", "10.0.0.1", gpus=TWO, build="2.13.0+cu130")


def seen(assigned: str, visible: str | None, gpus: tuple[tuple[str, str], ...]) -> Seen:
    return dataclasses.replace(SEEN, assigned=tuple(filter(None, assigned.split(","))), visible=visible, gpus=gpus)


def test_a_worker_that_was_given_no_gpu_leaves_those_of_others_alone() -> None:
    assert settle("Actor", SEEN, logical_gpus=False) == (CPU, Site("10.0.0.1"))


@pytest.mark.parametrize(
    ("assigned", "visible", "gpus", "index", "uuid"),
    [
        ("3", "3", TWO[:1], 0, "GPU-aaaa"),  # as Ray narrows it: the first that is visible
        ("2,3", "2,3", TWO, 0, "GPU-aaaa"),  # two for one worker: it computes on the first
        ("1", None, TWO, 1, "GPU-bbbb"),  # where Ray is told to leave the variable alone
        ("1", "0,1", TWO, 1, "GPU-bbbb"),
        ("GPU-bbbb", "GPU-aaaa,GPU-bbbb", TWO, 1, "GPU-bbbb"),  # a node that was started with UUIDs
    ],
)
def test_the_device_is_the_first_that_ray_gave(assigned, visible, gpus, index, uuid) -> None:
    device, site = settle("Actor", seen(assigned, visible, gpus), logical_gpus=False)
    assert device == torch.device("cuda", index)
    assert site == Site("10.0.0.1", "cuda", uuid, dict(TWO)[uuid])


@pytest.mark.parametrize(
    ("assigned", "visible", "gpus", "said"),
    [
        ("3", "3", (), "GPU 3 by Ray on 10.0.0.1 (CUDA_VISIBLE_DEVICES=3), and torch 2.13.0+cpu sees 0 CUDA devices"),
        ("1", None, TWO[:1], "GPU 1 by Ray on 10.0.0.1 (CUDA_VISIBLE_DEVICES=), and torch 2.13.0+cpu sees 1 CUDA "),
        ("1", "0,1", TWO[:1], "GPU 1 by Ray on 10.0.0.1 (CUDA_VISIBLE_DEVICES=0,1), and torch 2.13.0+cpu sees 1 CUDA "),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_an_error(assigned, visible, gpus, said) -> None:
    with pytest.raises(PlacementError) as error:
        settle("Actor", dataclasses.replace(seen(assigned, visible, gpus), build="2.13.0+cpu"), logical_gpus=False)
    assert str(error.value).startswith(f"worker 'Actor' was given {said}")
    assert str(error.value).endswith(
        "there; expected that GPU among them. Install a CUDA build of torch and a driver for it, or set "
        "logical_gpus = true in the placement: a rehearsal in which Ray counts GPUs and everything computes on CPUs."
    )


def test_counted_gpus_compute_on_cpus_and_are_routed_as_if_they_were_there() -> None:
    sites = []
    for node, assigned in (("node1", "0"), ("node1", "1"), ("node1", "1"), ("node2", "1"), ("node1", "")):
        device, site = settle("Actor", dataclasses.replace(seen(assigned, assigned, ()), node=node), logical_gpus=True)
        assert device == CPU
        sites.append(site)
    first, second, beside, elsewhere, without = sites
    assert route(first, second) is route(first, elsewhere) is route(second, elsewhere) is Route.NCCL
    assert route(second, beside) is route(first, without) is Route.HOST
    assert {carrier(one, other) for one in sites for other in sites} == {Route.GLOO}


class Shift(nn.Module):
    """An operator with a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Buffer(torch.ones(2))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value + self.by


def added(value: torch.Tensor, *, to: tuple[torch.Tensor, ...], left: torch.Tensor) -> torch.Tensor:
    return value + to[0] - left


def test_what_operators_are_declared_with_is_on_their_device() -> None:
    two, half = torch.tensor([2.0, 2.0]), torch.tensor([0.5, 0.5])
    factories = [
        Factory.of(Shift),
        Factory.of(fixed_matrix, matrix=torch.eye(2)),
        Factory.of(fixed_matrix, torch.eye(2)),
        Factory.of(added, to=(two,), left=half),
        Factory.of(functools.partial(added, left=half), to=(two,)),
        Factory.of(scale, 3.0),
        Factory.of(nn.ReLU),
    ]
    for factory in factories:
        at_home = operator_on(factory, CPU)(torch.ones(2))
        with Away():
            away = operator_on(factory, AWAY)(torch.ones(2, device=AWAY))
            assert away.device == AWAY and torch.equal(away.cpu(), at_home), factory


def test_replicas_that_hold_parts_need_a_device_each() -> None:
    two = {"First": Site("10.0.0.1", "cuda", "GPU-1"), "First#1": Site("10.0.0.1", "cuda", "GPU-2")}
    refuse_shared_devices(("First", "First#1"), two)
    refuse_shared_devices(("First", "First#1"), {name: Site("10.0.0.1") for name in two})
    counted = {name: Site("10.0.0.1", "cuda", "node/0", counted=True) for name in two}
    refuse_shared_devices(("First", "First#1"), counted)
    with pytest.raises(PlacementError) as error:
        refuse_shared_devices(("First", "First#1"), dict.fromkeys(two, two["First"]))
    assert str(error.value) == (
        "the replicas 'First', 'First#1' hold parts of players and some of them share a device, or have none where "
        "others do; expected a device of its own for each, or none for any. Give each a whole GPU (num_gpus = 1), or "
        "leave their players whole."
    )


def test_states_come_home_whole() -> None:
    with Away():
        state = {"a": [torch.ones(2, device=AWAY), 3], "b": {"c": (torch.zeros(1), None, "text")}}
        home = on_device(state, CPU)
    assert home["a"][0].tolist() == [1.0, 1.0] and type(home["a"][0]) is torch.Tensor
    assert home["a"][1:] == [3] and home["b"]["c"][1:] == (None, "text")


def test_on_the_cpu_operators_draw_from_torchs_generator() -> None:
    assert generators(CPU) == (torch.default_generator,)
