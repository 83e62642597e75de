"""Worker processes that a test may kill: children of one tests.signals.trainer that has loaded everything before."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.databases import database_url

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


class Nursery:
    """The trainer, and what it writes: "PID" for each worker that begins, "PID STATUS" for each that is over."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.ended: dict[int, int] = {}
        self.begun: list[int] = []

    def begin(self, what: str, pk: int) -> "Worker":
        """A process that works on a "training" or a "search"."""
        known = len(self.begun)
        self.process.stdin.write(f"{what} {pk}\n".encode())
        while len(self.begun) == known:
            self.listen(PATIENCE_S)
        return Worker(self, self.begun[-1])

    def listen(self, seconds: float) -> bool:
        """Whether a line came within so many seconds."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        told = [int(part) for part in self.process.stdout.readline().split()]
        assert told, "the nursery is gone"
        if len(told) == 1:
            self.begun.append(told[0])
        else:
            self.ended[told[0]] = told[1]
        return True


class Worker:
    """One process."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.nursery, self.pid = nursery, pid

    @property
    def is_over(self) -> bool:
        while self.nursery.listen(0):
            pass
        return self.pid in self.nursery.ended

    def kill(self) -> None:
        if not self.is_over:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status: negative when a signal ended it."""
        while self.pid not in self.nursery.ended:
            assert self.nursery.listen(PATIENCE_S)
        return self.nursery.ended[self.pid]


@contextmanager
def opened() -> Iterator[Nursery]:
    """A nursery on the database of the tests."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()}
    command = [sys.executable, "-m", "tests.signals.trainer"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield Nursery(process)
        process.kill()


def wait_for(what: Callable[[], bool], worker: Worker) -> bool:
    """False when the worker was over before."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if worker.is_over:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return True
