"""A bounded first-in first-out queue between threads. Every wait has a deadline."""

import threading
from collections import deque
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class BoundedQueue(Generic[T]):
    """A first-in first-out queue of at most `bound` items.

    After a call of `fail`, `take` returns the items that remain, and then raises the failure.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def offer(self, item: T) -> bool:
        """Append the item and return True, or return False if the queue is full. Does not block.

        Raises the queue's failure if `fail` was called.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if len(self._items) >= self.bound:
                return False
            self._items.append(item)
            self._changed.notify()
            return True

    def take(self, seconds: float) -> T:
        """Return the oldest item. Blocks up to `seconds`, then raises TimeoutError.

        Raises the queue's failure if the queue has failed and is empty.
        """
        with self._changed:
            if not self._changed.wait_for(self._ready, seconds):
                raise TimeoutError
            if self._items:
                return self._items.popleft()
            assert self._failure is not None
            raise self._failure

    def fail(self, failure: BaseException) -> None:
        """Mark the queue as failed, and wake every waiting thread with this error. Only the first failure counts."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _ready(self) -> bool:
        return bool(self._items) or self._failure is not None
