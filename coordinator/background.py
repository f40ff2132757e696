"""Runs a function in a thread, so that a checkpoint is written while the next rounds are played."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_background(work: Callable[[], Result]) -> Future[Result]:
    """Call `work` in a new thread, and return the future of its result. The process does not wait for it at exit."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        nonlocal work
        # Tensors of `work` are freed before the caller goes on: if it then ends the process while this thread frees
        # them, torch aborts the process.
        try:
            result = work()
        except BaseException as error:  # the caller of `result` gets it
            del work
            future.set_exception(error)
        else:
            del work
            future.set_result(result)

    threading.Thread(target=run, name="antiphon-checkpoint", daemon=True).start()
    return future
