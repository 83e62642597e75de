"""Tasks of market data. Each loads by id and calls one service."""

from typing import Any

from celery import shared_task

from exchanges import backfill
from exchanges.models import JobStatus, Market
from traderai.lib.nudge import nudge

CHUNK_S = 240.0  # a job longer than this gives the worker back and queues itself again


@shared_task(name="exchanges.tasks.run_backfill")
def run_backfill(*, job_id: int, **_: Any) -> None:
    """Work on one backfill for some minutes."""
    job = backfill.run(job_id, budget_s=CHUNK_S)
    if job.status == JobStatus.QUEUED:
        nudge("exchanges.tasks.run_backfill", job_id=job_id)


@shared_task(name="exchanges.tasks.sweep_backfills")
def sweep_backfills(**_: Any) -> None:
    """Wake a worker for every backfill that a lost message or a dead worker has left behind."""
    for job_id in backfill.waiting():
        nudge("exchanges.tasks.run_backfill", job_id=job_id)


@shared_task(name="exchanges.tasks.repair_gaps")
def repair_gaps(*, market_id: int, timeframe: str, **_: Any) -> None:
    """Ask a market's venue for what is missing in one of its series."""
    backfill.repair(Market.objects.select_related("venue").get(pk=market_id), timeframe)


@shared_task(name="exchanges.tasks.sweep_gaps")
def sweep_gaps(**_: Any) -> None:
    """Wake a worker for every series in which something is missing that the venue should be asked for."""
    for market_id, timeframe in backfill.gappy():
        nudge("exchanges.tasks.repair_gaps", market_id=market_id, timeframe=timeframe)
