"""`antiphon manifest`: files for a cluster, with what to edit; bad input is refused in words."""

import pytest
import yaml


def refused(told, text):
    assert (told.code, told.out, told.error) == (2, "", f"error: {text}\n")


def test_it_is_printed_or_written_with_what_to_edit(antiphon, place):
    choices = ("kuberay-job", "gan", "--image", "images.example.org/antiphon:1")
    printed, written = antiphon("manifest", *choices), antiphon("manifest", *choices, "--out", "job.yaml")
    assert printed.code == written.code == 0
    text = (place / "job.yaml").read_text()
    assert printed.out == text
    first, second, *marks = written.out.splitlines()
    assert (first, second) == ("manifest: job.yaml", "to be edited:")
    lines = text.splitlines()
    for mark in marks:
        number, what = mark.removeprefix("  line ").split(": ", 1)
        assert lines[int(number) - 1].strip() == f"# EDIT: {what}"
    assert len(marks) == sum("EDIT: " in line for line in lines)


def test_the_job_holds_the_whole_experiment_as_it_was_changed(antiphon, place):
    told = antiphon("manifest", "kuberay-job", "dac", "--set", "rounds=7", "--set", "dac.widths=[4]", "--name", "small")
    (experiment,) = [each for each in yaml.safe_load_all(told.out) if each["kind"] == "ConfigMap"]
    assert experiment["metadata"]["name"] == "small-experiment"
    (place / "again.toml").write_text(experiment["data"]["experiment.toml"])
    again = antiphon("manifest", "kuberay-job", "again.toml", "--name", "small")
    assert again.out == told.out
    assert "rounds = 7" in told.out and "widths = [4]" in told.out and 'executor = "ray"' in told.out


def test_the_size_of_a_machine_decides_how_many(antiphon):
    counts = []
    asking = [f"--set=placement.of.{name}.num_cpus=2" for name in ("Forger", "Curator", "Noise")]
    for cpus in ("8", "2"):
        told = antiphon("manifest", "kuberay-cluster", "gan", "--machine-cpus", cpus, *asking)
        cluster = next(yaml.safe_load_all(told.out))
        counts.append([group["replicas"] for group in cluster["spec"]["workerGroupSpecs"]])
    assert counts == [[1], [3]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["kuberay", "gan"],
            "manifest 'kuberay' is not known; expected one of ray-up, kuberay-cluster, kuberay-job, slurm, docker, "
            "constraints. Did you mean 'kuberay-job'? Name one of these.",
        ),
        (
            ["slurn", "gan"],
            "manifest 'slurn' is not known; expected one of ray-up, kuberay-cluster, kuberay-job, slurm, docker, "
            "constraints. Did you mean 'slurm'? Name one of these.",
        ),
        (
            ["slurm"],
            "manifest 'slurm' was given no experiment; expected one, whose placement says which machines are needed. "
            "Name one that `antiphon list` shows, a TOML file, or module:factory.",
        ),
        (
            ["docker", "gan"],
            "manifest 'docker' is the same for every experiment, and 'gan' was given. Leave it out.",
        ),
        (
            ["slurm", "nowhere.toml"],
            "experiment 'nowhere.toml' cannot be read: No such file or directory. Expected a TOML file; correct the "
            "path.",
        ),
        (
            ["slurm", "gan", "--name", "My Game"],
            "a cluster or job cannot be named 'My Game'; expected a letter, then at most 46 small letters, digits and "
            "hyphens, for Kubernetes takes no others. Give another --name.",
        ),
        (
            ["kuberay-job", "gan", "--image", "an image"],
            "an image cannot be named 'an image'; expected a name like 'antiphon:0.1.0', with the host of your "
            "registry in front of it. Correct --image.",
        ),
        (
            ["slurm", "gan", "--out", "no/where.sh"],
            "file 'no/where.sh' cannot be written: there is no folder 'no'. Expected a file in a folder that exists "
            "and may be written to; correct the path.",
        ),
    ],
)
def test_bad_input_is_refused(antiphon, place, arguments, text):
    refused(antiphon("manifest", *arguments), text)
    assert list(place.iterdir()) == []
