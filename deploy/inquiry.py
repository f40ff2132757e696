"""A question to the coordinators of a cluster, asked from inside it: from outside one reaches the dashboard alone.

So the text of `inquire` travels there as a job, where it needs Ray and nothing of antiphon's.
"""

import inspect
import json
import shlex
from typing import Any, Literal, TypeAlias

from antiphon.errors import ClusterError

Asked: TypeAlias = Literal["status", "end", "kill"]
_MARK = "antiphon answers "


def inquire(asked: str, run: str, prefix: str, mark: str) -> None:
    """Print what the coordinator of each run tells, as JSON by run; "end" asks it to end, "kill" kills all its actors.

    run: the one that is meant; empty for all. prefix: of namespaces. mark: before the answer.
    """
    import json
    import logging
    from typing import Any

    import ray

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    told = {}
    named: Any = ray.util.list_named_actors(all_namespaces=True)  # Any: mappings, whatever its stub says
    for each in sorted(named, key=lambda each: each["name"] != "coordinator"):
        of = each["namespace"].removeprefix(prefix)
        if of == each["namespace"] or run not in ("", of):
            continue
        try:
            actor = ray.get_actor(each["name"], each["namespace"])
            if asked == "kill":
                ray.kill(actor)
            elif each["name"] == "coordinator":
                told[of] = ray.get(getattr(actor, asked).remote(), timeout=8)
        except Exception as error:  # one that dies while it is asked costs the answers of no other
            told.setdefault(of, {"run": of, "error": f"its coordinator does not answer: {type(error).__name__}"})
    print(mark + json.dumps(told))


def program(asked: Asked, run: str, prefix: str) -> str:
    """The arguments of a Python that inquires, quoted for a shell."""
    call = f"{inquire.__name__}({asked!r}, {run!r}, {prefix!r}, {_MARK!r})"
    return f"-c {shlex.quote(f'{inspect.getsource(inquire)}{call}')}"


def answer(log: str) -> dict[str, Any]:  # Any: JSON
    """What a job that inquired has printed. Raises ClusterError when it has no answer.

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
