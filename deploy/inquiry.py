"""Sends a question to the coordinators of a cluster, as a Ray job: from outside, only the dashboard can be reached.

The job runs the source text of `inquire`. It needs Ray on the cluster, but not antiphon.
"""

import inspect
import json
import shlex
from typing import Any, Literal, TypeAlias

from antiphon.coordinator.ending import ENDING
from antiphon.errors import ClusterError

Asked: TypeAlias = Literal["status", "end", "kill"]
_MARK = "antiphon answers "


def inquire(asked: str, run: str, prefix: str, ending: str, mark: str) -> None:
    """Ask the coordinators of a cluster's runs a question, and print their answers as JSON, by run.

    asked: "status", "end" (end the run) or "kill" (kill all actors of the run). run: name of a run; empty for all runs.
    prefix: first part of the names of the runs' Ray namespaces. ending: first part of the key, in Ray's control store,
    of the request to end a run. mark: text that is printed before the answers.
    """
    import json
    import logging
    from typing import Any

    import ray
    from ray.experimental.internal_kv import _internal_kv_put

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    told = {}
    named: Any = ray.util.list_named_actors(all_namespaces=True)  # Any: the stub says strings, but these are mappings
    for each in sorted(named, key=lambda each: each["name"] != "coordinator"):
        of = each["namespace"].removeprefix(prefix)
        if of == each["namespace"] or run not in ("", of):
            continue
        if asked == "end":
            if each["name"] == "coordinator":
                _internal_kv_put(ending + of, b"")
                told[of] = None
            continue
        try:
            actor = ray.get_actor(each["name"], each["namespace"])
            if asked == "kill":
                ray.kill(actor)
            elif each["name"] == "coordinator":
                told[of] = ray.get(getattr(actor, asked).remote(), timeout=8)
        except Exception as error:  # the others still answer
            told.setdefault(of, {"run": of, "error": f"its coordinator does not answer: {type(error).__name__}"})
    print(mark + json.dumps(told))


def program(asked: Asked, run: str, prefix: str) -> str:
    """Return the arguments with which `python` runs `inquire`, as text for a shell.

    asked: the question. run: name of a run; empty for all runs. prefix: first part of the names of the runs' Ray
    namespaces.
    """
    call = f"{inquire.__name__}({asked!r}, {run!r}, {prefix!r}, {ENDING!r}, {_MARK!r})"
    return f"-c {shlex.quote(f'{inspect.getsource(inquire)}{call}')}"


def answer(log: str) -> dict[str, Any]:  # Any: JSON
    """Return the coordinators' answers, by run, from the output of a job that ran `inquire`.

    Raises ClusterError if there are none.

    >>> answer('something of Ray\\nantiphon answers {"mine": {"round": 3}}\\n')
    {'mine': {'round': 3}}
    """
    for line in log.splitlines():
        if line.startswith(_MARK):
            return json.loads(line.removeprefix(_MARK))
    told = log.strip().splitlines()
    raise ClusterError(
        f"the head of the cluster gave no answer about its runs: {told[-1] if told else 'its job printed nothing'}. "
        "Expected a Python with Ray there, as `python`; look at the head's logs."
    )
