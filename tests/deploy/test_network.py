"""Players on several machines: messages cross a network, and the numbers are those of one process.

The machines are Linux namespaces with addresses of their own (`tests/rigs/network_namespaces.py`). Where they cannot
be made, the same tests run on `ray.cluster_utils.Cluster`, whose nodes share a network, and their output says so.
"""

import functools
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from antiphon.agents import AgentSpecification
from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import Assignment, assign
from antiphon.coordinator.plan.placement import Placement, Strategy, WorkerResources, spread
from antiphon.coordinator.traffic import between, measured, planned
from antiphon.deploy.executor import RayExecutor
from antiphon.deploy.recovery import RecoveringExecutor
from antiphon.envs import digits, nature
from antiphon.errors import AntiphonError, RoundError
from antiphon.grammars import Factory, Grammar
from antiphon.grammars.library import dac, gan
from antiphon.grammars.library.generative import DenseAnalysis, DenseSynthesis
from antiphon.grammars.library.networks import Policy, StateAction
from antiphon.grammars.states import same_states
from antiphon.oracles import Annealing, gaussian
from rigs.network_namespaces import Machine, Machines
from rigs.ray_nodes import SeveralNetworks, nodes, one_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROUNDS, BATCH, LATENT = 60, 17, 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes; `carol` and `dave` may join."""
    with nodes("head", "alice", "bob", spare=("carol", "dave")) as found:
        yield found


@pytest.fixture(autouse=True)
def told(request, record_property) -> None:
    """Which kind of cluster a test used, in its report."""
    if "cluster" in request.fixturenames:
        kind = request.getfixturevalue("cluster").kind
        record_property("cluster", kind)
        print(f"on {kind}")


def small_gan() -> tuple[Grammar, Placement]:
    forger = Factory.of(DenseSynthesis, LATENT, (64,), [33], squashed=True)
    grammar = gan(
        digits(BATCH), gaussian((LATENT,), batch=BATCH), forger, Factory.of(DenseAnalysis, (64,), 1, [33], 0.2)
    )
    return grammar, apart(grammar, ("Forger", "Noise"), ("Curator", "L"))


def small_dac() -> tuple[Grammar, Placement]:
    """Odd sizes; acting every third round, learning from the twentieth on."""
    world = nature("Pendulum-v1", envs=3, batch=BATCH, warmup=20)
    noise = gaussian((1,), batch=3, symbol="envs", scale=Annealing(0.5, 0.1, 50))
    actor, critic = Factory.of(Policy, 3, 1, (9, 7)), Factory.of(StateAction, 3, 1, 1, (11, 5))
    grammar = dac(world, noise, actor, critic, Factory.of(StateAction, 3, 1, 1, (8, 8)), act_every=3, learn_from=20)
    return grammar, apart(grammar, ("Actor", "Noise"), ("Critic", "BGE"), ("Deviator", "Nature"))


def apart(grammar: Grammar, *fuse: tuple[str, ...]) -> Placement:
    """Three workers, of which no two may share a machine."""
    return replace(spread(grammar, fuse=fuse), strategy=Strategy.STRICT_SPREAD)


def assignment(made: tuple[Grammar, Placement]) -> Assignment:
    grammar, placement = made
    return assign(grammar, AgentSpecification.of("Adam", {"lr": 1e-2}), placement=placement, seed=5)


class Outcome(NamedTuple):
    """Of a run on the cluster. places: node and address of each worker; sent: bytes that left each node meanwhile."""

    played: Any
    states: Any
    places: dict[str, tuple[str, str]]
    sent: dict[str, int]


def alive() -> list[str]:
    return sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])


def sent() -> dict[str, int]:
    """Bytes that left the card of each node so far, by its id."""

    def counted() -> int:
        with open("/proc/net/dev") as cards:
            return sum(int(line.split()[9]) for line in cards if line.strip().startswith("eth0"))

    task = ray.remote(counted)
    there = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in alive()}
    return {
        node: ray.get(task.options(num_cpus=0, scheduling_strategy=where).remote()) for node, where in there.items()
    }


def place_of(worker: Any) -> tuple[str, str]:
    def asked(_: Any) -> tuple[str, str]:
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    return ray.get(worker.__ray_call__.remote(asked))


def play(assignment: Assignment, rounds: int) -> Outcome:
    """What a driver on the cluster does."""
    ray.init(log_to_driver=False)
    with RayExecutor(assignment, "network") as run:
        places = {name: place_of(worker) for name, worker in run.workers.items()}
        before = sent()
        played = run.play(rounds)
        after = sent()
        return Outcome(played, run.states(), places, {node: after[node] - before[node] for node in before})


def is_what_one_process_gives(outcome: Outcome, what: Assignment) -> None:
    grammar = what.grammar
    with InlineExecutor(assign(grammar, what.agents, seed=what.seed)) as inline:
        alone, expected = inline.play(ROUNDS), inline.states()
    assert outcome.played.losses == alone.losses
    assert outcome.states.keys() == expected.keys()
    assert [name for name in expected if not same_states(outcome.states[name], expected[name])] == []


@pytest.mark.parametrize("make", [small_gan, small_dac])
def test_players_on_three_machines_play_as_in_one_process(cluster, make):
    what = assignment(make())
    outcome = cluster.call(play, what, ROUNDS)
    is_what_one_process_gives(outcome, what)
    place = {name: node for name, (node, _) in outcome.places.items()}
    assert len(set(place.values())) == len(place) == 3
    flows = between(measured(what.schedule, outcome.played), place)
    assert flows == between(planned(what.schedule, range(ROUNDS)), place)
    if isinstance(cluster, SeveralNetworks):
        assert {address for _, address in outcome.places.values()} == {"10.77.0.1", "10.77.0.2", "10.77.0.3"}
        for node, left in outcome.sent.items():
            values = sum(flow.payload for (source, _), flow in flows.items() if source == node)
            print(f"node {node[:8]} sent {left} bytes, of which {values} were values")
            assert 0 < values <= left


def test_nodes_that_share_a_network_do_the_same():
    """What the other tests fall back to."""
    what = assignment(small_gan())
    with one_network("it was asked for", 3) as cluster:
        outcome = cluster.call(play, what, ROUNDS)
    is_what_one_process_gives(outcome, what)
    assert len({node for node, _ in outcome.places.values()}) == 3


@pytest.fixture
def slow_network(cluster) -> Iterator[Any]:
    """Three milliseconds each way, and 20 megabits a second out of each machine."""
    machines = of_their_own(cluster)
    machines.delay(0.003)
    for machine in machines:
        machine.limit(20e6)
    yield cluster
    machines.delay(0.0)
    for machine in machines:
        machine.limit(0)


def of_their_own(cluster: Any) -> Machines:
    if not isinstance(cluster, SeveralNetworks):
        pytest.skip(f"needs machines; here is {cluster.kind}")
    return cluster.machines


def test_a_slow_network_changes_no_number(slow_network):
    what = assignment(small_gan())
    outcome = slow_network.call(play, what, ROUNDS)
    is_what_one_process_gives(outcome, what)
    assert max(outcome.played.seconds.values()) > ROUNDS * 2 * 0.003  # two messages of a round wait for each other


class Ended(NamedTuple):
    """How a run ended. seconds: from the moment in which all had played `AFTER` rounds."""

    kind: str
    text: str
    worker: str
    seconds: float


AFTER, LONG, ENDLESS, DEADLINE = 20, 1500, 1_000_000, 4.0


class Recovered(NamedTuple):
    """A run that lost a machine. at: the addresses of its workers before and after. harmed: that of the machine."""

    states: Any
    recoveries: Any
    at: list[dict[str, str]]
    harmed: str


def play_on(assignment: Assignment, sign: Path) -> Recovered:
    """What a driver does that survives the loss of another machine."""
    ray.init(log_to_driver=False)
    run = RayExecutor(assignment, "moving", deadline=DEADLINE)
    with RecoveringExecutor(run) as executor:
        executor.play(AFTER)
        before, head = addresses(run), ray.util.get_node_ip_address()
        harmed = next(address for address in before.values() if address != head)
        threading.Thread(target=touch_when_playing, args=(run, sign, harmed)).start()
        executor.play(LONG - AFTER)
        return Recovered(executor.states(), executor.recoveries, [before, addresses(run)], harmed)


def addresses(run: RayExecutor) -> dict[str, str]:
    found: Any = {name: ray.get(worker.address.remote()) for name, worker in run.workers.items()}  # Any: Ray's
    return {name: host for name, (host, _) in found.items()}


def play_until_it_fails(assignment: Assignment, sign: Path) -> Ended:
    """What a driver does while somebody waits for the file `sign` to do harm."""
    ray.init(log_to_driver=False)
    with RayExecutor(assignment, "doomed", deadline=DEADLINE) as run:
        run.play(AFTER)
        threading.Thread(target=touch_when_playing, args=(run, sign)).start()
        began = time.monotonic()
        try:
            run.play(ENDLESS)
        except RoundError as error:
            kind, worker = type(error).__name__, error.worker
            return Ended(kind, str(error), worker, time.monotonic() - began)
        except AntiphonError as error:
            text = "\n".join([str(error), *getattr(error, "__notes__", [])])
            return Ended(type(error).__name__, text, error.worker, time.monotonic() - began)
    raise AssertionError(f"{ENDLESS} rounds were played")


def touch_when_playing(run: RayExecutor, sign: Path, text: str = "") -> None:
    forger: Any = run.workers["Forger"]  # Any: as Ray annotates what it answers

    def playing() -> bool:
        standing: Any = ray.get(forger.where.remote())
        return standing.round > AFTER

    if wait_until(playing, 60.0):
        sign.with_suffix(".part").write_text(text)
        sign.with_suffix(".part").rename(sign)


def doom(cluster: SeveralNetworks, name: str, harm: Callable[[Machine], None]) -> Ended:
    """A run whose Forger plays on a machine that comes to harm."""
    cluster.join(name)
    grammar, placement = small_gan()
    at = {"Environment": cluster.head, "Forger": cluster.machines[name], "Curator": cluster.machines["alice"]}
    demands = tuple((worker, WorkerResources(node=machine.address)) for worker, machine in at.items())
    made = grammar, replace(placement, resources=demands)
    return harmed(cluster, harm, play_until_it_fails, made, cluster.machines[name])


def harmed(
    cluster: SeveralNetworks,
    harm: Callable[[Machine], None],
    driver: Callable[[Assignment, Path], Any],
    made: tuple[Grammar, Placement],
    victim: Machine | None = None,
) -> Any:
    """What `driver` returns, on the head, if a machine comes to harm while rounds are played.

    Without a victim, the driver chooses it, and writes its address into the file that it makes.
    """
    sign = cluster.head.home / f"{time.monotonic()}.sign"
    with ThreadPoolExecutor(1) as other:
        # Ray gives up a node that is cut off after a minute.
        ended = other.submit(functools.partial(cluster.call, seconds=200.0), driver, assignment(made), sign)
        assert wait_until(lambda: sign.exists() or ended.done(), 60.0)
        harm(victim or next(each for each in cluster.machines if each.address == sign.read_text()))
        return ended.result(210.0)


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    event, end = threading.Event(), time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        event.wait(0.05)
    return condition()


def nothing_plays(machines: Machines) -> bool:
    everything = [line for machine in machines for line in machine.processes()]
    return not [line for line in everything if line.startswith(("ray::Worker", "ray::Coordinator"))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("harm", [Machine.kill, Machine.unplug])
def test_after_the_loss_of_a_machine_its_worker_plays_on_elsewhere_with_the_same_numbers(harm):
    with nodes("head", "alice", "bob", "carol") as cluster:
        machines, made = of_their_own(cluster), small_gan()
        assert isinstance(cluster, SeveralNetworks)
        lost = harmed(cluster, harm, play_on, made)
        before, after = lost.at
        assert set(after.values()) < set(before.values()) | {machine.address for machine in machines}
        assert lost.harmed in before.values() and lost.harmed not in after.values()
        assert lost.recoveries
    with InlineExecutor(assignment(made)) as undisturbed:
        undisturbed.play(LONG)
        assert same_states(lost.states, undisturbed.states())


def test_a_machine_that_is_switched_off_ends_the_run_and_is_named(cluster):
    machines = of_their_own(cluster)
    ended = doom(cluster, "carol", Machine.kill)
    assert (ended.kind, ended.worker) == ("WorkerDied", "Forger")
    assert re.match(r"worker 'Forger' died in round \d+: its process on node 10\.77\.0\.4 is gone", ended.text)
    assert ended.seconds < 15.0
    assert wait_until(lambda: nothing_plays(machines))


def test_a_machine_whose_cable_is_pulled_ends_the_run_at_the_deadline_and_is_named(cluster):
    machines = of_their_own(cluster)
    ended = doom(cluster, "dave", Machine.unplug)
    assert (ended.kind, ended.worker) == ("WorkerStalled", "Forger")
    assert "on node 10.77.0.5 does not answer" in ended.text
    assert ended.seconds < 25.0
    machines["dave"].kill()  # it knows of nothing, and would play on
    assert wait_until(lambda: nothing_plays(machines))
