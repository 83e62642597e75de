"""A process that spends the venue's budget in several threads and tells, a line each, when it was let through. Not a test."""

import sys
import threading
import time
from pathlib import Path

from django.conf import settings


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(redis_url: str, run_dir: str, seconds: str, threads: str) -> None:
    settings.configure(REDIS_URL=redis_url, RUN_DIR=Path(run_dir), VENUE_BASE_URLS={}, VENUE_RATE_SHARE=0.9)
    from exchanges.ports import VenueUnavailable
    from exchanges.venues import budget

    def spend() -> None:
        while (left_s := stop_s - time.monotonic()) > 0:
            try:
                budget.take("bybit", "other", patience_s=left_s)
            except VenueUnavailable as error:
                tell(f"turned away {error.retry_after_s}")
                return
            tell(f"through {time.time()}")

    budget.take("bybit", "other", 0.0)  # connects before the clock runs
    tell("ready")
    sys.stdin.readline()
    stop_s = time.monotonic() + float(seconds)
    workers = [threading.Thread(target=spend) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
