"""A Ray of our own: a start that fails leaves nothing behind."""

import subprocess
import sys

START = """
import os
from ray._private import node
from antiphon.deploy.embedded import ray_session
from antiphon.errors import TransportError

def fail(self):
    raise OSError("no room")

node.Node.start_ray_processes = fail  # after the control store has been started
try:
    with ray_session():
        print("started")
except TransportError as error:
    print("no room" in str(error))
print(open(f"/proc/self/task/{os.getpid()}/children").read())
"""


def test_a_start_that_fails_says_why_and_leaves_no_process():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=150)
    assert done.stdout.split() == ["True"], done.stderr
