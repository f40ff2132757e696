"""The doctor: one line per check with what was found or the remedy; the GPU checks run on whatever devices they get."""

import dataclasses
import math
import os
import socket
from collections.abc import Callable

import pytest
import torch

from antiphon.coordinator.executor import Losses
from antiphon.coordinator.plan.placement import Precision
from antiphon.deploy.embedded import ray_session
from antiphon.doctor import access, gpu
from antiphon.doctor.findings import CheckFailed, Finding, Health, NotRun, examine, summary
from antiphon.doctor.gpu import Device, checks, loss_difference, on_devices, rounds
from antiphon.doctor.machine import machine_checks, temporary_folder
from antiphon.errors import PlacementError
from antiphon.experiments.load import read_experiment
from rigs.nccl import StandIn

CPU = torch.device("cpu")
TWO = [Device(CPU, "one", "GPU-1", "0000:07:00"), Device(CPU, "other", "GPU-2", "0000:0a:00")]
NAMES = [
    "devices",
    "channel between two devices (nccl)",
    "channel on one device (host)",
    "channel between CPU and device (host)",
    "precision declared",
    "precision bfloat16",
    "precision float16",
    "rounds of backprop",
    "rounds of gan",
]
MACHINE = ["versions", "temporary folder", "ports", "gloo", "shared memory", "environment", "token"]


def examined(found: list[Device], ray_runs: bool = False) -> list[Finding]:
    return [examine(*check) for check in checks(found, ray_runs, counted=True, make=StandIn().make)]


def test_channels_and_precisions_of_two_devices() -> None:
    findings = examined(TWO)
    assert [each.check for each in findings] == NAMES
    said = {each.check: each.said for each in findings}
    assert said["devices"] == "cpu one, cpu other"
    assert said["channel between two devices (nccl)"] == "6 laws hold between cpu and cpu by nccl"
    assert said["channel on one device (host)"] == "6 laws hold between cpu and cpu by host"
    assert said["channel between CPU and device (host)"] == "6 laws hold between cpu and cpu by host"
    assert said["precision declared"].endswith("of float64 on the CPU (at most 0.0001)")
    assert [each.verdict for each in findings] == [Health.OK] * 7 + [Health.SKIPPED] * 2
    assert said["rounds of gan"] == "not run: Ray did not start"


def test_one_device_leaves_out_what_takes_two() -> None:
    verdicts = {each.check: each.said for each in examined(TWO[:1]) if each.verdict is Health.SKIPPED}
    assert verdicts["channel between two devices (nccl)"] == "not run: one CUDA device only"
    assert len(verdicts) == 3


def test_without_a_device_each_check_says_so() -> None:
    first, *others = examined([])
    assert first.verdict is Health.FAILED
    assert first.said.startswith(f"torch {torch.__version__} sees no CUDA device (")
    assert first.said.endswith(
        "expected one or more. Install NVIDIA's driver and a CUDA build of torch, and look at CUDA_VISIBLE_DEVICES; "
        "without a GPU, placements can be rehearsed with logical_gpus = true."
    )
    assert [each.line for each in others] == [f"skipped  {name}: not run: no CUDA device" for name in NAMES[1:]]


@pytest.mark.parametrize("found", [[1.0, math.nan], [math.nan, 1.0]])
def test_a_loss_that_is_not_a_number_is_no_small_difference(found: list[float]) -> None:
    rounds = [0, 1]
    assert math.isnan(loss_difference({"Loss": Losses(rounds, [1.0, 1.0])}, {"Loss": Losses(rounds, found)}))


@pytest.mark.slow
def test_rounds_on_counted_gpus_are_those_of_the_cpu() -> None:
    with ray_session(num_cpus=8, num_gpus=2):
        said = rounds("gan", 2, ray_runs=True, counted=True)
    assert said == "12 rounds over host, nccl: losses within 0.0e+00 of the CPU's (at most 0.001)"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_the_command_prints_a_line_per_check_and_fails_without_a_gpu(antiphon: Callable) -> None:
    told = antiphon("doctor", "--gpu")
    lines = told.out.splitlines()
    assert told.code == 1
    assert [line.split(":")[0] for line in lines[:-1]] == [
        *(f"ok       {name}" for name in (*MACHINE, "ray", "open ports")),
        "ok       round on ray",
        "failed   devices",
        *(f"skipped  {name}" for name in NAMES[1:]),
    ]
    assert lines[-1] == "10 ok, 1 failed, 8 skipped; to report a problem, paste all lines into an issue"


def test_the_machine_can_be_looked_at_without_ray() -> None:
    findings = [examine(*check) for check in machine_checks()]
    assert [each.check for each in findings] == MACHINE
    assert all(each.verdict is Health.OK for each in findings), findings
    assert summary(findings) == f"{len(MACHINE)} ok, 0 failed, 0 skipped"


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")])
def test_what_listens_beyond_the_loopback_is_told(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as wide, socket.create_server(("127.0.0.1", 0)) as near:
        found = {each.port: each for each in access.listeners() if each.pid == os.getpid()}
        assert str(found[wide.getsockname()[1]]) == f"this process at {host}:{wide.getsockname()[1]}"
        assert (found[wide.getsockname()[1]].loopback, found[near.getsockname()[1]].loopback) == (False, True)
        with pytest.raises(CheckFailed, match=f"open to the network: .*this process at {host}"):
            access.ports_of("/no/folder")


def test_a_token_that_others_can_read_is_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    path.chmod(0o640)
    with pytest.raises(CheckFailed, match=rf"{path} can be read by other users \(0640\).*chmod 600"):
        access.token()
    path.chmod(0o600)
    assert str(path) in access.token()
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(CheckFailed, match="RAY_AUTH_MODE=disabled"):
        access.token()


@pytest.fixture(autouse=True)
def no_token_of_the_user(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def test_a_long_temporary_folder_is_refused(tmp_path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    finding = examine("temporary folder", lambda: temporary_folder(str(long)))
    assert finding.verdict is Health.FAILED
    assert finding.said == (
        f"{long} has a path of {len(str(long))} characters; expected at most 56, since Ray puts sockets below it. "
        "Set TMPDIR to a folder with a shorter path."
    )


def test_wrong_numbers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.TOLERANCE, Precision.BFLOAT16, 1e-6)
    with pytest.raises(CheckFailed, match=r"off by .* of the largest; expected at most 1e-06\. Try another build"):
        gpu.precise([CPU], Precision.BFLOAT16)


def raising(error: Exception) -> Callable[[], str]:
    def look() -> str:
        raise error

    return look


def test_whatever_is_raised_becomes_one_line() -> None:
    raised = [
        NotRun("no"),
        CheckFailed("bad"),
        PlacementError("worse"),
        ValueError("first\nsecond"),
        AssertionError("law"),
    ]
    assert [examine("it", raising(error)).line for error in raised] == [
        "skipped  it: not run: no",
        "failed   it: bad",
        "failed   it: worse",
        "failed   it: ValueError: first. Report this, with all lines above.",
        "failed   it: a law does not hold: law. Report this, with all lines above.",
    ]


def test_players_share_the_first_device_and_the_last_has_another() -> None:
    grammar = read_experiment("backprop", {"backprop.widths": [8, 8]}).build()
    shares = [{name: room.num_gpus for name, room in on_devices(grammar, count, True).resources} for count in (1, 2)]
    players = [player.name for player in grammar.query.players]
    assert shares[0] == dict.fromkeys(players, 0.33)
    assert shares[1] == {**dict.fromkeys(players[:2], 0.5), players[2]: 1.0}


def test_a_device_is_known_by_what_nccl_knows_it_by() -> None:
    twin = dataclasses.replace(TWO[1], bus=TWO[0].bus)
    assert TWO[0].place("10.0.0.1").site.shares(twin.place("10.0.0.1").site)
    assert not TWO[0].place("10.0.0.1").site.shares(twin.place("10.0.0.2").site)
