"""Backtests on a worker. The rows are the queue: doubling or losing a message is harmless."""

from typing import Any

from celery import shared_task


@shared_task(name="backtesting.tasks.run_backtest")
def run_backtest(*, run_id: int, **_: Any) -> None:
    """Run one queued backtest."""
    from backtesting import runs  # numba and the learners load in the worker only
    from traderai.lib.errors import UserError

    try:
        runs.execute(run_id)
    except UserError:
        return  # the row holds the message for its owner


@shared_task(name="backtesting.tasks.check_lookahead")
def check_lookahead(*, check_id: int, **_: Any) -> None:
    """Run one queued look-ahead check."""
    from backtesting import checks
    from traderai.lib.errors import UserError

    try:
        checks.execute(check_id)
    except UserError:
        return  # the row holds the message for whoever asked


@shared_task(name="backtesting.tasks.run_parameter_search")
def run_parameter_search(*, search_id: int, **_: Any) -> None:
    """Run one queued search for parameters."""
    from backtesting.searches import running
    from traderai.lib.errors import UserError

    try:
        running.execute(search_id)
    except UserError:
        return  # the row holds the message for its owner


@shared_task(name="backtesting.tasks.sweep_backtests")
def sweep_backtests(**_: Any) -> None:
    """Runs, searches, checks and candidates that a lost message or a killed worker left behind."""
    from backtesting import checks, promotion, runs, searches

    runs.sweep()
    searches.sweep()
    checks.sweep()
    promotion.sweep()


@shared_task(name="backtesting.tasks.watch_champions")
def watch_champions(**_: Any) -> None:
    """The daily look at champions that replaced another."""
    from backtesting import watch

    watch.watch_champions()


@shared_task(name="backtesting.tasks.judge_model")
def judge_model(*, model_id: int, **_: Any) -> None:
    """Compare a new candidate with the champion."""
    from backtesting import promotion

    promotion.judge(model_id)
