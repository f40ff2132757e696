"""Everyone plays with the same versions, or nobody plays; a checkpoint is whole, whoever shares a disk with whom."""

import importlib
import importlib.metadata
import sys

import pytest
import torch
from ray.cloudpickle import register_pickle_by_value  # pyright: ignore[reportPrivateImportUsage]  # public, says Ray

import antiphon
from antiphon.agents.specification import AgentSpecification
from antiphon.coordinator import worker
from antiphon.coordinator.checkpoint import load_states, read_manifest
from antiphon.coordinator.plan.assignment import assign
from antiphon.coordinator.plan.placement import spread
from antiphon.coordinator.versions import check_versions, not_installed, versions
from antiphon.deploy import actors, executor
from antiphon.deploy.executor import RayExecutor
from antiphon.errors import VersionError
from rigs.games import with_dropout

HERE = "10.0.0.1", {"antiphon": "0.2.0", "torch": "2.8.0", "python": "3.11"}


def test_own_versions_are_those_of_the_package() -> None:
    found = versions()
    assert found["antiphon"] == antiphon.__version__ == importlib.metadata.version("antiphon")
    assert torch.__version__.startswith(found["torch"]) and "+" not in found["torch"]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"antiphon": "0.1.0"},
            "worker 'Actor' on machine 10.0.0.2 has antiphon 0.1.0, and the coordinator on machine 10.0.0.1 has "
            "antiphon 0.2.0; expected the same on every machine of a run. Install antiphon==0.2.0 on 10.0.0.2, or "
            "launch with `antiphon launch`, which brings its own antiphon.",
        ),
        (
            {"torch": "2.9.1", "python": "3.12"},
            "worker 'Actor' on machine 10.0.0.2 has torch 2.9.1, python 3.12, and the coordinator on machine 10.0.0.1 "
            "has torch 2.8.0, python 3.11; expected the same on every machine of a run. Install torch==2.8.0 on "
            "10.0.0.2, or launch with `antiphon launch`, which brings its own antiphon.",
        ),
    ],
)
def test_another_version_is_named_with_its_machine(changed, text) -> None:
    others = {"the driver": HERE, "worker 'Actor'": ("10.0.0.2", {**HERE[1], **changed})}
    with pytest.raises(VersionError) as caught:
        check_versions(HERE, others)
    assert str(caught.value) == text


# Ray's workers cannot import this module: what it defines travels by value.
register_pickle_by_value(sys.modules[__name__])


class Older(worker.Worker):
    def versions(self):  # pyright: ignore[reportIncompatibleVariableOverride]  # Ray's stubs make methods values
        return "10.0.0.2", {**versions(), "antiphon": "0.0.9"}


class Elsewhere(worker.Worker):
    """On a machine with a disk of its own, as far as it can tell."""

    def _shares(self, address: str, sign: str) -> bool:
        return self._name == "Nature"


REST = "First", "Second", "Norm", "Last", "Loss"


def started(monkeypatch, kind: type, run: str) -> RayExecutor:
    """Two workers of this kind, Nature's and the others'."""
    monkeypatch.setattr(executor, "worker_actor", lambda: actors._remote(concurrency_groups=worker.CONCURRENCY)(kind))
    grammar = with_dropout()
    agent = AgentSpecification.of("SGD", {"lr": 0.1})
    return RayExecutor(assign(grammar, agent, placement=spread(grammar, [REST])), run)


def test_nobody_plays_with_another_version(ray_is_up, monkeypatch) -> None:
    with pytest.raises(VersionError, match=r"worker 'Nature' on machine 10.0.0.2 has antiphon 0.0.9, and the coord"):
        started(monkeypatch, Older, "older")


def test_a_machine_without_antiphon_is_told_from_a_worker_that_died(ray_is_up, monkeypatch, tmp_path) -> None:
    (tmp_path / "only_here.py").write_text("from antiphon.coordinator.worker import Worker\nclass Own(Worker): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VersionError) as caught:
        started(monkeypatch, importlib.import_module("only_here").Own, "missing")
    worker, _, rest = str(caught.value).partition(" was placed on machine ")
    assert worker in {"worker 'Nature'", "worker 'First'"}  # whichever started first
    assert rest.partition(", ")[2] == (
        "where antiphon cannot be imported: ModuleNotFoundError: No module named 'only_here'. Expected it, and what it "
        "depends on, on every machine of a run. Install it there, or launch with `antiphon launch`, which brings its "
        "own antiphon."
    )
    assert not_installed("worker 'Actor'", "its process is gone") is None


def test_a_checkpoint_is_whole_where_workers_have_disks_of_their_own(ray_is_up, monkeypatch, tmp_path) -> None:
    with started(monkeypatch, Elsewhere, "elsewhere") as run:
        run.play(3)
        run.save(tmp_path / "checkpoint")
        states = run.states()
    manifest = read_manifest(tmp_path / "checkpoint")
    found = load_states(tmp_path / "checkpoint", manifest.names)
    assert manifest.round == 3 and found.keys() == states.keys()
    for name in ("First", "Second"):
        for key, value in states[name]["parameters"].items():
            assert torch.equal(found[name]["parameters"][key], value)
    assert not list((tmp_path / "checkpoint").glob("*.sign"))
