"""The command `antiphon launch`: submit a run as a job to a Ray cluster. The job does not need this machine."""

import shlex

import antiphon
from antiphon.deploy.address import check_ray, dashboard, given, ray_version
from antiphon.deploy.finding import checked_name, fresh_name, taken
from antiphon.deploy.jobs import Jobs
from antiphon.experiments.experiment import Experiment
from antiphon.experiments.toml_io import toml
from antiphon.runs.bundle import packed
from antiphon.runs.folder import EXPERIMENT
from antiphon.runs.preflight import preflight
from antiphon.runs.run import resolved, with_own_packages


def launch_run(experiment: Experiment, address: str | None, name: str | None, out: str | None) -> tuple[Jobs, str]:
    """Submit an experiment as a job to a Ray cluster.

    address: address of the cluster; None takes it from the environment. name: name of the run. out: the run folder on
    the cluster. Both are chosen automatically if None.
    Returns (connection to the cluster's jobs, name of the run).
    Raises AntiphonError for a wrong experiment, ClusterError, VersionError or TransportError; then nothing was
    submitted.
    """
    grammar = experiment.build()
    agents = experiment.agents(grammar)
    preflight(grammar, agents, with_own_packages(experiment.placed(grammar)))
    name = checked_name(name or fresh_name(grammar.name))
    url = dashboard(given(address))
    check_ray(ray_version(url), url)
    jobs = Jobs(url)
    if jobs.actors(name):
        raise taken(name)
    place = out or f"antiphon-runs/{name}"
    # The job starts in Ray's temporary copy of the bundle, so a relative path is taken from the home folder.
    folder = shlex.quote(place) if place.startswith("/") else f"~/{shlex.quote(place.removeprefix('~/'))}"
    told = {"antiphon": antiphon.__version__, "grammar": grammar.name, "rounds": str(experiment.rounds)}
    arguments = f"-m antiphon run {EXPERIMENT} --address auto --name {name} --out {folder}"
    with packed(toml(resolved(experiment, grammar))) as bundle:
        jobs.submit(name, arguments, bundle, told)
    return jobs, name
