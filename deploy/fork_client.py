"""The executable of a forked worker: asks the fork server for a process that runs a Python script, and waits for it.

Run as `python -S -E fork_client.py ADDRESS SCRIPT ARGUMENTS`. It imports little, because it runs once per worker.
"""

import json
import os
import socket
import sys


def main(address: str, *command: str) -> None:
    """Run the command in a process that the server at `address` forks. Without a server, run the command here.

    The forked process gets the arguments, environment, folder, process group and standard streams of this process. It
    holds the connection until it ends.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            os.execv(sys.executable, [sys.executable, *command])
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps([command, dict(os.environ), os.getcwd(), os.getpgrp()]).encode())
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
