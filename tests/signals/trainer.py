"""A process that has loaded all that training needs and makes a worker of its own for each job it is told of: workers are killed, and nobody
waits for imports again. It reads "training ID" and "search ID"; it writes each worker's process id, and when it is over the id and its exit status.
"""

import os
import signal
import sys

import django

django.setup()

from signals import training  # noqa: E402
from signals.learners import DEFAULT, learner  # noqa: E402
from signals.search import lane  # noqa: E402
from signals.training import pipeline  # noqa: E402, F401
from traderai.lib.jobs import Withdrawn  # noqa: E402

CANCELLED = 3


def work(what: str, pk: int) -> int:
    if what == "search":
        lane.run(pk)
        return 0
    try:
        training.run(pk)
    except Withdrawn:
        return CANCELLED
    return 0


def say(*numbers: int) -> None:
    sys.stdout.write(" ".join(map(str, numbers)) + "\n")
    sys.stdout.flush()


def bury(*_: object) -> None:
    """Tell of every worker that is over."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        say(pid, os.waitstatus_to_exitcode(status))


def main() -> None:
    for kind in DEFAULT:
        learner(kind)
    signal.signal(signal.SIGCHLD, bury)
    for line in sys.stdin:
        what, pk = line.split()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # a worker begins before it ends, in what is written, too
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            status = 1
            try:
                status = work(what, int(pk))
            finally:
                os._exit(status)
        say(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
