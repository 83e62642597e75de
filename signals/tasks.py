"""Celery's way into this app: ids in, one service call each. Services are imported inside: most bring numba or LightGBM along."""

from typing import Any

from celery import shared_task

from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.nudge import nudge

SLOT_MS = 300_000
SEARCH_CHUNK_S = 300.0


@shared_task(name="signals.tasks.scan")
def scan(**_: Any) -> None:
    """The five-minute beat. Two beats in the same five minutes scan once."""
    from signals import scan as scanning

    slot_ms = clock.now_ms() // SLOT_MS * SLOT_MS
    scanning.run(slot=f"beat:{clock.from_ms(slot_ms):%Y-%m-%dT%H:%MZ}")


@shared_task(name="signals.tasks.scan_bar")
def scan_bar(bar_ms: int, **_: Any) -> None:
    """A candle of the base timeframe closed somewhere."""
    from signals import scan as scanning

    scanning.run_bar(bar_ms=bar_ms)


@shared_task(name="signals.tasks.expire_signals")
def expire_signals(**_: Any) -> None:
    """End what is over, then trade what a lost message left."""
    from signals import autotrade as trading
    from signals import processing

    processing.expire()
    trading.sweep()


@shared_task(name="signals.tasks.autotrade")
def autotrade(signal_id: int, **_: Any) -> None:
    from signals import autotrade as trading

    trading.on_signal(signal_id)


@shared_task(name="signals.tasks.take_open_signals")
def take_open_signals(config_id: int, **_: Any) -> None:
    """A configuration was started."""
    from signals import autotrade as trading

    trading.take_open(config_id)


@shared_task(name="signals.tasks.run_training")
def run_training(run_id: int, **_: Any) -> None:
    from signals import training

    try:
        training.run(run_id)
    except UserError:
        return  # the row holds the message, or another worker holds the row


@shared_task(name="signals.tasks.check_drift")
def check_drift(**_: Any) -> None:
    """The daily look at the champions."""
    from signals.drift import checks

    checks.check_champions()


@shared_task(name="signals.tasks.sweep_trainings")
def sweep_trainings(**_: Any) -> None:
    """Trainings whose message was lost, or whose worker died."""
    from signals import training

    training.sweep()


@shared_task(name="signals.tasks.run_search")
def run_search(search_id: int, **_: Any) -> None:
    """Some minutes of trials, then the next message may have its turn."""
    from signals.search import lane

    if lane.run(search_id, budget_s=SEARCH_CHUNK_S):
        nudge("signals.tasks.run_search", search_id=search_id)


@shared_task(name="signals.tasks.sweep_searches")
def sweep_searches(**_: Any) -> None:
    """Searches whose message was lost, or whose worker died."""
    from signals import search

    search.sweep()
