"""The script that a local Ray runs for each worker: asks the fork server for a process, and waits for it.

It imports little, because it runs once per worker.
"""

import json
import os
import socket
import sys
from importlib.util import find_spec

ADDRESS = "fork"
"""The name of the fork server's socket in Ray's temporary folder."""
_FOLDER, _PLAIN = "--temp-dir=", "--runtime-env-hash=0"
"""Arguments that Ray gives to a worker: its temporary folder, and the sign that the worker has no runtime_env."""


def work(*arguments: str) -> None:
    """Run Ray's own script for workers, in a process that the fork server forks unless the worker has a runtime_env.

    A worker with a runtime_env gets a newly started Python: modules may read environment variables while they are
    imported, and the fork server has already imported them with its own variables.
    """
    script = ray_script()
    if _PLAIN in arguments:
        folder = next(each for each in arguments if each.startswith(_FOLDER)).removeprefix(_FOLDER)
        fork(os.path.join(folder, ADDRESS), script, *arguments)
    else:
        become(script, *arguments)


def ray_script() -> str:
    """Return the path of Ray's script for workers. Ray is not imported, because that would take longer than a fork."""
    found = find_spec("ray")
    assert found is not None and found.origin is not None  # Ray started this script
    return os.path.join(os.path.dirname(found.origin), "_private", "workers", "default_worker.py")


def fork(address: str, *command: str) -> None:
    """Run a script in a process that the fork server at `address` forks. Without a server, run it in this process.

    command: the script and its arguments. The forked process gets the arguments, environment, folder, process group and
    standard streams of this process. This function returns when the forked process has ended.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            become(*command)
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps([command, dict(os.environ), os.getcwd(), os.getpgrp()]).encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def become(*command: str) -> None:
    """Replace the program of this process by Python with another script. command: the script and its arguments."""
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    work(*sys.argv[1:])
