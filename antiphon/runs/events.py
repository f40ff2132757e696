"""Write metrics as TensorBoard events. This module needs TensorBoard, which is an optional dependency."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue] - generated
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue] - generated
from tensorboard.summary.writer.record_writer import RecordWriter

from antiphon.runs.folder import cannot_be_written


@final
class Events:
    """A TensorBoard event file in a run folder. It is flushed after each event.

    resumed_at: the round at which a resumed run continues. TensorBoard then ignores events of later rounds in earlier
    files.

    Raises RoundError, whose message names the file, if the file cannot be written.
    """

    def __init__(self, folder: Path, resumed_at: int | None = None) -> None:
        self._path = folder / f"events.out.tfevents.{time.time_ns() / 1e9:.6f}.{socket.gethostname()}"
        try:
            self._file = self._path.open("xb")
        except OSError as error:
            raise cannot_be_written(self._path, error) from error
        # Written here and now: torch's SummaryWriter writes from a thread, whose errors surface late or never.
        self._writer = RecordWriter(self._file)
        self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if resumed_at is not None:
            # As SummaryWriter does with `purge_step`: TensorBoard drops all earlier events from this step on.
            start = SessionLog(status=SessionLog.START)
            self._append(Event(wall_time=time.time(), step=resumed_at + 1, session_log=start))

    def write(self, round: int, scalars: Mapping[str, float]) -> None:
        """Write one event for a round. scalars: the values by name."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._append(Event(wall_time=time.time(), step=round, summary=Summary(value=values)))

    def close(self) -> None:
        """Close the file. Raises OSError if data cannot be flushed."""
        self._file.close()

    def _append(self, event: Any) -> None:  # Any: protobuf's generated classes have no types
        try:
            self._writer.write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise cannot_be_written(self._path, error) from error
