"""Routes: every two workers have one, the same from both ends; and groups."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, permutations

import torch
from hypothesis import given, strategies as st

from antiphon.testing.channel import SESSION
from antiphon.transport.message import Edge, Phase
from antiphon.transport.process_group import ProcessGroupChannel
from antiphon.transport.rendezvous import Address
from antiphon.transport.route import Route, Site, carrier, route, route_of_group
from rigs.nccl import StandIn

SITES = st.builds(
    Site,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.sampled_from(["cpu", "cuda"]),
    st.sampled_from(["", "GPU-1", "GPU-2"]),
    st.sampled_from(["", "07", "0a"]),
    st.booleans(),
)


@given(SITES, SITES)
def test_both_ends_choose_the_same(one: Site, other: Site) -> None:
    assert route(one, other) is route(other, one)
    assert carrier(one, other) is carrier(other, one)
    assert one.shares(other) == other.shares(one)


@given(SITES, SITES)
def test_every_two_workers_have_a_route_that_can_carry(one: Site, other: Site) -> None:
    chosen = route(one, other)
    assert (chosen is Route.GLOO) == (one.kind == other.kind == "cpu")
    if chosen is Route.NCCL:
        assert one.kind == other.kind == "cuda"
        assert one.gpu != other.gpu
        assert not one.bus or (one.address, one.bus) != (other.address, other.bus)


@given(SITES)
def test_a_worker_on_a_device_shares_it_with_itself(site: Site) -> None:
    assert site.shares(site) == (site.kind == "cuda")


@given(st.lists(SITES, min_size=2, max_size=4))
def test_a_group_goes_by_what_carries_each_two_of_it(sites: list[Site]) -> None:
    pairs = {route(*pair) for pair in combinations(sites, 2)}
    assert route_of_group(sites) is (pairs.pop() if len(pairs) == 1 else Route.HOST)
    assert all(route_of_group(other) is route_of_group(sites) for other in permutations(sites))


def test_slices_of_one_gpu_are_one_device_to_nccl() -> None:
    slices = [Site("10.0.0.1", "cuda", f"MIG-{number}", "0000:07:00") for number in (1, 2)]
    assert route(*slices) is Route.HOST
    assert route(slices[0], Site("10.0.0.2", "cuda", "MIG-3", "0000:07:00")) is Route.NCCL


def test_workers_of_all_kinds_talk_edge_by_edge(address: Address) -> None:
    """Two share a device, one has another, one has none: all of them talk to all, and NCCL joins no two that share."""
    sites = {
        "One": Site("10.0.0.1", "cuda", "GPU-1"),
        "Home": Site("10.0.0.1"),
        "Beside": Site("10.0.0.1", "cuda", "GPU-1"),
        "Other": Site("10.0.0.1", "cuda", "GPU-2"),
    }
    stand_in = StandIn()
    assert len(all_to_all(address, sites, stand_in)) == 12
    # Ranks among those on a device: One 0, Beside 1, Other 2. One and Beside never met.
    assert stand_in.pairs == {(0, 2), (2, 0), (1, 2), (2, 1)}


def test_counted_devices_leave_everything_to_gloo(address: Address) -> None:
    sites = {name: Site("10.0.0.1", "cuda", f"node/{name}", counted=True) for name in ("One", "Other", "Third")}
    stand_in = StandIn()
    assert len(all_to_all(address, sites, stand_in)) == 6
    assert stand_in.pairs == set()


def all_to_all(address: Address, sites: dict[str, Site], stand_in: StandIn) -> dict[str, float]:
    """Everybody sends its edge's number to everybody else, three rounds long; what arrived last, by edge."""
    ranks = {name: rank for rank, name in enumerate(sites)}
    pairs = list(permutations(sites, 2))
    edges = [
        Edge(number, f"{source} -> {target}", source, target, Phase.QUERY, "zeroth", torch.float32, (3,))
        for number, (source, target) in enumerate(pairs)
    ]
    run = f"all to all {len(sites)}"
    ends = [
        ProcessGroupChannel(SESSION, name, ranks, address, edges, "127.0.0.1", run, (), None, sites, stand_in.make)
        for name in sites
    ]
    with ThreadPoolExecutor(len(ends)) as threads:
        heard = list(threads.map(play, sites, ends, [edges] * len(ends)))
    for end in ends:
        end.close()
    arrived = {name: value for each in heard for name, value in each.items()}
    assert arrived == {edge.name: edge.number + 2.0 for edge in edges}
    return arrived


def play(me: str, channel: ProcessGroupChannel, edges: Sequence[Edge]) -> dict[str, float]:
    """Three rounds, in the order of edges, as a schedule has it."""
    arrived = {}
    channel.open()
    for round in range(3):
        for edge in edges:
            if edge.source == me:
                channel.send(edge, round, torch.full((3,), float(edge.number + round)))
            elif edge.target == me:
                arrived[edge.name] = float(channel.receive(edge, round)[2])
    channel.settle()
    return arrived
