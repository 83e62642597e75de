"""A process that has loaded all that training needs and makes a worker of its own for each run it is told to: workers are killed one after the
other, and nobody waits for imports again. It reads run ids, and writes each worker's process id and, when it is over, its exit status.
"""

import os
import sys

import django

django.setup()

from signals import training  # noqa: E402
from signals.learners import DEFAULT, learner  # noqa: E402
from signals.training import pipeline  # noqa: E402, F401
from traderai.lib.jobs import Withdrawn  # noqa: E402

CANCELLED = 3


def work(run_id: int) -> int:
    try:
        training.run(run_id)
    except Withdrawn:
        return CANCELLED
    return 0


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for kind in DEFAULT:
        learner(kind)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = work(int(line))
            finally:
                os._exit(status)
        say(pid)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
