"""Copies of one environment, each in its own process. Every wait has a deadline; the parent ends the processes."""

import multiprocessing
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, final

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from antiphon.envs.copies import Advance, Saved, advance
from antiphon.envs.environment import Keywords, Name, Repeated, make, title
from antiphon.errors import AntiphonError, OracleError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 10.0
"""Seconds that an idle copy has to close its environment."""


@final
class Apart:
    """Runs every copy of an environment in its own process. deadline: seconds in which all copies must answer a
    command.

    The processes ignore SIGINT, which a terminal sends to all of them: the parent ends them. They also end when the
    parent has died.
    """

    def __init__(self, name: Name, keywords: Keywords, count: int, deadline: float) -> None:
        self._who, self.deadline, self._busy, self._ends = title(name), deadline, False, 0.0
        making: Any = partial(make, name, dict(keywords))  # Any: the wrapper expects an environment of Gymnasium
        self._count, self._made = count, CloudpickleWrapper(making)
        self._pipes: list[Connection] = []
        # `Any`: the class of a process depends on the start method of the platform.
        self._processes: list[Any] = []
        self._begin()

    def reset(self, seed: int) -> list[np.ndarray]:
        """Begin an episode in every copy, copy i with the seed `seed + i`. Returns the first observations.

        If the last command failed, new processes are started first. Raises OracleError for a copy that died or does not
        answer.
        """
        if self._busy:
            self.close()
            self._begin()
        return self._ask("reset", [seed + index for index in range(self._count)])

    def begin_step(self, actions: Sequence[np.ndarray] | np.ndarray, cut: np.ndarray) -> None:
        """Begin one step in every copy, with one action each, without waiting.

        cut: whether the episode of each copy ends after this step, whatever the environment says, (envs,).
        Raises OracleError for a copy that died.
        """
        self._send("step", list(zip(actions, cut.tolist(), strict=True)))

    def end_step(self) -> list[Advance]:
        """Wait until every copy has made the step that was begun, and return the results.

        Raises OracleError for a copy that died or does not answer.
        """
        return self._receive("step")

    def repeat(self, episodes: Sequence[Saved]) -> list[Repeated]:
        """Repeat a saved episode in every copy, or begin a new one where that fails. See `FlatEnvironment.repeat`.

        If the last command failed, new processes are started first. The deadline is that of all steps together.
        """
        if self._busy:
            self.close()
            self._begin()
        steps = max(len(episode.actions) for episode in episodes)
        return self._ask("repeat", episodes, self.deadline * (1 + steps))

    def close(self) -> None:
        """Let idle copies close their environments; terminate and then kill the processes that remain."""
        for pipe in self._pipes:
            with suppress(OSError):  # the copy has died
                pipe.send(("close", None))
        self._join(1.0 if self._busy else _PATIENCE)
        for end in ("terminate", "kill"):
            for process in self._processes:
                getattr(process, end)()
            self._join(1.0)
        for pipe in self._pipes:
            pipe.close()
        self._pipes, self._processes = [], []

    def _begin(self) -> None:
        self._busy = False
        try:
            for index in range(self._count):
                self._start(index)
            self._ask("make", [None] * self._count)
        except BaseException:
            self.close()
            raise

    def _start(self, index: int) -> None:
        context = multiprocessing.get_context()
        mine, theirs = context.Pipe()
        process: Any = context.Process(target=_serve, args=(theirs, self._made, index), daemon=True)  # Any: as above
        with _held_signals():  # until the process has set its own signal handlers
            process.start()
        theirs.close()
        self._pipes.append(mine)
        self._processes.append(process)

    def _ask(self, command: str, values: Sequence[Any], deadline: float | None = None) -> list[Any]:
        # Any: what the command takes and answers
        self._send(command, values, deadline)
        return self._receive(command)

    def _send(self, command: str, values: Sequence[Any], deadline: float | None = None) -> None:
        # Any: what the command takes
        if self._busy:
            raise OracleError(
                f"{self._who} was asked for a {command} after an answer was missed; expected a reset before. "
                "Load a saved state, or make a new Nature."
            )
        self._busy, self._ends = True, time.monotonic() + (deadline or self.deadline)
        for index, value in enumerate(values):
            try:
                self._pipes[index].send((command, value))
            except OSError:
                raise self._died(index, command) from None

    def _receive(self, command: str) -> list[Any]:  # Any: what the command answers
        answers = [self._answer(index, command) for index in range(self._count)]
        self._busy = False
        return answers

    def _answer(self, index: int, command: str) -> Any:  # Any: what the command answers
        pipe = self._pipes[index]
        if not pipe.poll(max(0.0, self._ends - time.monotonic())):
            raise OracleError(
                f"{self._who}: copy {index} did not answer {command} within {self.deadline:g} s; expected an answer "
                "by then. Repair the environment if it hangs; raise `deadline` if it is slow."
            )
        try:
            answer, error = pipe.recv()
        except (EOFError, OSError):
            raise self._died(index, command) from None
        if error:
            raise OracleError(error)
        return answer

    def _died(self, index: int, command: str) -> OracleError:
        self._processes[index].join(1.0)
        code = self._processes[index].exitcode
        how = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        return OracleError(
            f"{self._who}: the process of copy {index} died ({how}) before it answered {command}; expected it to go "
            "on. Repair the environment, which may have written why to standard error; SIGKILL often means that the "
            "memory did not suffice: use fewer copies."
        )

    def _join(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        for process in self._processes:
            process.join(max(0.0, ends - time.monotonic()))


@contextmanager
def _held_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, made: CloudpickleWrapper, index: int) -> None:
    """The main function of a copy's process: answer commands until the command "close", or until the parent has
    died.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if index:
        warnings.simplefilter("ignore")  # the first copy shows the warnings
    environment: Any = None  # Any: a FlatEnvironment, once it is made
    for command, value in _commands(pipe):
        try:
            if command == "make":
                environment, answer = made.fn(), None
            else:
                answer = _COMMANDS[command](environment, value)
            message = (answer, "")
        except AntiphonError as error:
            message = (None, str(error))
        with suppress(BrokenPipeError):
            pipe.send(message)
    if environment is not None:
        environment.close()


_COMMANDS: dict[str, Any] = {  # Any: they take and answer different things
    "reset": lambda environment, seed: environment.reset(seed),
    "step": lambda environment, order: advance(environment, *order),
    "repeat": lambda environment, episode: environment.repeat(*episode),
}


def _commands(pipe: Connection) -> Iterator[tuple[str, Any]]:  # Any: what a command takes
    parent = multiprocessing.parent_process()
    assert parent is not None
    while pipe in wait([pipe, parent.sentinel]):
        try:
            command, value = pipe.recv()
        except (EOFError, OSError):
            return
        if command == "close":
            return
        yield command, value
