"""The check of a GPU: each part runs on the CPU, one that fails loses no other, and on a GPU the numbers are equal."""

from collections.abc import Callable, Mapping
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from antiphon.coordinator.inline import InlineExecutor
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.steps import Slot
from antiphon.deploy.embedded import ray_session
from antiphon.doctor.findings import Finding, Health, examine
from antiphon.doctor.gpu import checks, devices
from antiphon.experiments.load import read_experiment
from benchmarks import gpu, report
from benchmarks.plain_dac import PlainDac
from rigs.devices import AWAY, Away

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A RESULTS.md of its own."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "RESULTS.md")
    return report.RESULTS


def verdicts(findings: list[Finding]) -> dict[str, Health]:
    return {each.check: each.verdict for each in findings}


def fails(setup: gpu.Setup) -> str:
    raise ZeroDivisionError("no number")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_part_runs_on_the_cpu(results) -> None:
    found = verdicts(gpu.run(gpu.TINY, 500))
    assert found.pop("a round as a CUDA graph, width 8") is Health.SKIPPED
    assert found == dict.fromkeys(found, Health.OK) and len(found) > 6
    assert not results.exists()


def test_a_part_that_fails_is_reported_and_the_next_ones_run(results, monkeypatch) -> None:
    parts: dict[str, Callable] = {"one": fails, "other": lambda setup: str(setup.device)}
    monkeypatch.setattr(gpu, "parts", lambda setup: parts)
    found = gpu.run(gpu.Setup(torch.device("meta")), 60)
    assert verdicts(found) == {"one": Health.FAILED, "other": Health.OK}
    written = results.read_text()
    assert "### one: failed" in written and "no number" in written and "### other: ok\n\nmeta" in written


def test_no_part_begins_after_the_budget(monkeypatch) -> None:
    monkeypatch.setattr(gpu, "parts", lambda setup: {"one": fails})
    (found,) = gpu.run(gpu.TINY, -1)
    assert found.verdict is Health.SKIPPED


def test_a_grammar_is_played_on_the_device_that_is_named() -> None:
    """On a device that refuses to mix with the CPU, a grammar has the CPU's losses; without that device, none."""
    grammar = read_experiment("backprop", {"backprop.widths": [8], "backprop.batch": 16}).build()
    with Away():
        assert gpu.difference(grammar, AWAY) == "0.0e+00"
    assert examine("nowhere", lambda: gpu.difference(grammar, torch.device("meta"))).verdict is Health.FAILED


def test_the_plain_update_of_dac_is_the_grammars() -> None:
    """From the same parameters and replayed batch, both end with the same parameters, also of the clones."""
    experiment = read_experiment("dac", {f"dac.{key}": each for key, each in gpu.TINY.dac.items()})
    grammar, held = experiment.build(), dict[str, Tensor]()

    def watch(round: int, values: Mapping[Slot, Tensor]) -> None:
        held.update({repr(slot): value.clone() for slot, value in values.items()})

    with InlineExecutor(assign(grammar, experiment.agents(grammar)), watch=watch) as ours:
        ours.play(experiment.table.learn_from)
        before = deepcopy(ours.modules())
        ours.play(1)
        batch = [held[f"Q[Nature.replay{index}]"] for index in ("", ".1", ".2", ".3", ".4")]
        mu, value, slope, *old = (before[name] for name in ("Actor", "Critic", "Deviator", "Actor~", "Critic~"))
        gamma, soft = experiment.table.gamma, experiment.table.soft
        PlainDac(mu, value, slope, old[0], old[1], batch, gamma, soft).rounds()(1)
        for name, module in ours.modules().items():
            torch.testing.assert_close(before[name].state_dict(), module.state_dict(), rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@needs_a_gpu
@pytest.mark.timeout(600)
def test_every_grammar_of_the_library_has_the_cpus_losses_on_a_gpu() -> None:
    device = torch.device("cuda", 0)
    found = [examine(name, lambda it=it: gpu.difference(it, device)) for name, it in gpu.grammars().items()]
    assert [each.line for each in found if each.verdict is not Health.OK] == []


@pytest.mark.gpu
@needs_a_gpu
@pytest.mark.timeout(600)
def test_channels_precisions_and_workers_that_share_a_gpu() -> None:
    with ray_session(num_cpus=8):
        found = [examine(*check) for check in checks(devices(), ray_runs=True)]
    assert [each.line for each in found if each.verdict is Health.FAILED] == []
