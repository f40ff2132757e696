"""A process that has imported torch. Workers of this machine are forked from it, so they need not import torch."""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import final

import numpy as np

from antiphon.deploy import fork_client, leftovers

_ROOMS = tuple(f"antiphon.coordinator.{name}" for name in ("checkpoint", "connection", "program", "sharding"))
_C, _PR_SET_PDEATHSIG = ctypes.CDLL(None), 1
_LIBRARIES_OF_RAY = "filelock", "google.protobuf.text_format", "jsonschema", "requests", "yaml"
PRELOADED = *_ROOMS, *_LIBRARIES_OF_RAY
"""The modules that every worker imports. Ray is left out, because it reads environment variables at import."""


@final
class ForkServer:
    """Starts a fork server, which imports torch in the background and ends with this process.

    folder: folder for the server's socket. The path must be short, because the system limits the length of socket
    paths.
    """

    def __init__(self, folder: str) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            # Clients may connect from now on: they wait until the server has imported everything.
            listener.bind(str(Path(folder) / fork_client.ADDRESS))
            listener.listen(1024)
            command = [sys.executable, "-m", "antiphon.deploy.fork_server", str(listener.fileno())]
            # A group of its own: a signal to the driver's group, as of a terminal that is closed, is the driver's.
            kept = {"pass_fds": [listener.fileno()], "stdin": subprocess.PIPE, "process_group": 0}
            self._process = subprocess.Popen(command, **kept, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """End the server, and with it the processes that it has forked."""
        self._process.kill()  # it holds no data, and a normal end of Python with torch would take longer
        self._process.communicate()


def serve(listener: socket.socket) -> None:
    """Import the modules of workers, and fork a process for each client, until the standard input ends.

    The end of the standard input shows that the driver is dead. Its processes and temporary folder are then removed.
    listener: the socket to which clients connect. This process has one thread and uses no GPU, so forking it is safe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the driver
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the forks are reaped by the kernel
    gc.disable()  # imports make no garbage, and the collector takes a fifth of their time
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # the collector of a fork would write to memory that the forks share
    gc.enable()
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with connection:
            files = socket.recv_fds(connection, 1, 3)[1]
            order = json.load(connection.makefile("rb"))
            if os.fork() == 0:
                listener.close()
                _become(files, *order)
            for file in files:
                os.close(file)
    folder = Path(os.environ.get(leftovers.VARIABLE, ""))
    if folder in Path(listener.getsockname()).parents:  # not if an outer Ray has started the driver
        # Ray's control store and raylet end with their driver, but their agents and stopped processes do not.
        leftovers.remove(folder)


def _become(files: list[int], command: list[str], environment: dict[str, str], folder: str, group: int) -> None:
    """Run a script in this forked process as if Python had been started with it.

    files: standard input, output and error. command: the script and its arguments. folder: working folder. group:
    process group.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _C.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped worker would outlive the driver
    os.setpgid(0, group)  # of the client: Ray ends the processes that a worker has left behind by their group
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    np.random.seed()  # else all forks would draw the same numbers
    sys.argv = command
    with contextlib.suppress(SystemExit):
        runpy.run_path(command[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
