"""Threads that ask the venue while the one that called them keeps the database to itself. They know nothing of jobs."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import structlog

from exchanges.ports import VenueUnavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")

ATTEMPTS = 6
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
LONGEST_WISH_S = 60.0
"""A venue that asks to be left alone for longer is not waited for: the job stops and is taken up again later."""


class Patience:
    """Puts questions to a venue however it stumbles, and counts them."""

    def __init__(self, pause: Callable[[float], object] | None = None, *, attempts: int = ATTEMPTS) -> None:
        self.asked = 0
        self._attempts = attempts
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._lock = threading.Lock()

    def ask(self, call: Callable[[], T]) -> T:
        """The answer. Raises VenueRefused at once, VenueUnavailable after the last try (pauses grow), or when the venue asks for a long one."""
        for attempt in range(1, self._attempts + 1):
            with self._lock:
                self.asked += 1
            try:
                return call()
            except VenueUnavailable as error:
                pause_s = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)
                if error.retry_after_s is not None:
                    pause_s = max(pause_s, error.retry_after_s)
                if pause_s > LONGEST_WISH_S:
                    raise VenueUnavailable(f"{error} and asks to wait {pause_s:.0f} s") from error
                if attempt == self._attempts or self._stopped.is_set():
                    raise VenueUnavailable(f"{error}, {attempt} times") from error
                log.info("venue stumbles", error=str(error), pause_s=round(pause_s, 1))
                self._pause(pause_s)
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """What fails from now on is not tried again."""
        self._stopped.set()


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What became of a task: its value or the exception it ended with."""

    task: T
    value: Any = None
    error: Exception | None = None


class Crew(Generic[T]):
    """At most `size` tasks at once. Daemon threads: an interpreter that ends does not wait for a venue that hangs."""

    def __init__(self, size: int, work: Callable[[T], Any]) -> None:
        self.size = size
        self.busy = 0
        self._work = work
        self._tasks: SimpleQueue[T | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer[T]] = SimpleQueue()
        self._threads = 0

    def begin(self, task: T) -> None:
        self.busy += 1
        if self._threads < min(self.busy, self.size):
            self._threads += 1
            threading.Thread(target=self._labour, name=f"backfill-{self._threads}", daemon=True).start()
        self._tasks.put(task)

    def answers(self, timeout_s: float) -> list[Answer[T]]:
        """All that have come, waiting for the first one; none after timeout_s."""
        found: list[Answer[T]] = []
        try:
            found.append(self._answers.get(timeout=timeout_s))
            while True:
                found.append(self._answers.get_nowait())
        except Empty:
            self.busy -= len(found)
            return found

    def dismiss(self) -> None:
        """Threads end after what they are doing."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _labour(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                answer = Answer(task, value=self._work(task))
            except Exception as error:  # noqa: BLE001  (the caller's thread judges it)
                answer = Answer(task, error=error)
            self._answers.put(answer)
