"""Runs the processes of an embedded installation: restarts a child that dies, ends all of them together, outlived by none.

Three things keep orphans away: every child is its own session and is terminated in reverse order of start; on Linux the kernel
kills it when the supervisor dies however that happens (PR_SET_PDEATHSIG); and a stale socket or pid file is no obstacle to the next start.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog

log = structlog.get_logger(__name__)

PR_SET_PDEATHSIG = 1
STOP_GRACE_S = 15.0
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_S = 60.0
"""A child that ran this long is healthy again: its next restart is immediate."""


@dataclass
class Child:
    """One program to keep running. `ready` is polled after each start until it is true."""

    name: str
    argv: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    ready_within_s: float = 60.0
    restart_on_success: bool = True
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    restarts: int = 0
    failures: int = 0
    next_start_at: float = 0.0
    finished: bool = False


class ChildNeverReady(RuntimeError):
    """A child did not become ready in its time, or ended while starting."""


class Supervisor:
    """Starts children in order, watches them, stops them in reverse order on SIGINT or SIGTERM."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = list(children)
        self._stopping = False

    def start(self) -> None:
        """Start every child, each one ready before the next. Raises ChildNeverReady after stopping what had started."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            for child in self.children:
                if self._stopping:
                    break
                self._spawn(child)
                self._await_ready(child)
        except ChildNeverReady:
            self.stop()
            raise

    def watch(self) -> None:
        """Keep the children running until a signal asks to stop, then stop them."""
        try:
            while not self._stopping:
                self.tick()
                time.sleep(0.2)
        finally:
            self.stop()

    def tick(self) -> None:
        """One look at every child: restart what has died and is due."""
        now = time.monotonic()
        for child in self.children:
            if child.finished or child.process is None or child.process.poll() is None:
                continue
            if child.next_start_at == 0.0:
                self._note_death(child, now)
            if not child.finished and now >= child.next_start_at:
                child.restarts += 1
                self._spawn(child)

    def stop(self) -> None:
        """Terminate in reverse order; what ignores SIGTERM for 15 s is killed."""
        self._stopping = True
        for child in reversed(self.children):
            process = child.process
            if process is None or process.poll() is not None:
                continue
            _signal_group(process, signal.SIGTERM)
            try:
                process.wait(STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                log.warning("child ignored SIGTERM; killing it", child=child.name)
                _signal_group(process, signal.SIGKILL)
                process.wait()

    def _note_death(self, child: Child, now: float) -> None:
        assert child.process is not None
        code = child.process.returncode
        if code == 0 and not child.restart_on_success:
            child.finished = True
            return
        child.failures = 0 if now - child.started_at > STEADY_S else child.failures + 1
        delay = BACKOFF_S[min(child.failures, len(BACKOFF_S)) - 1] if child.failures else 0.0
        child.next_start_at = now + delay
        log.warning("child died; it will be restarted", child=child.name, exit_code=code, in_s=delay)

    def _spawn(self, child: Child) -> None:
        child.next_start_at = 0.0
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(  # noqa: S603  (our own argument lists, no shell)
            list(child.argv), env={**os.environ, **child.env}, start_new_session=True, preexec_fn=_die_with_parent, stdin=subprocess.DEVNULL
        )

    def _await_ready(self, child: Child) -> None:
        assert child.process is not None
        deadline = time.monotonic() + child.ready_within_s
        while child.ready is not None and not self._stopping and not child.ready():
            if child.process.poll() is not None:
                raise ChildNeverReady(f"{child.name} ended with exit code {child.process.returncode} while starting; its message is above.")
            if time.monotonic() > deadline:
                raise ChildNeverReady(f"{child.name} was not ready within {child.ready_within_s:.0f} s.")
            time.sleep(0.1)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


def _die_with_parent() -> None:
    """Runs in the child before exec. Elsewhere than on Linux the orderly stop has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended between the look and the signal
        os.killpg(process.pid, number)
