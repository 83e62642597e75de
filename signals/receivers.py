"""What follows from events. Each receiver calls the next service or queues a task."""

from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.dispatch import receiver

from exchanges.events import candle_closed
from signals import events
from traderai.lib import groups
from traderai.lib.nudge import nudge


@receiver(candle_closed)
def scan_the_bar(timeframe: str, timestamp: int, **_: Any) -> None:
    """Every market of a bar nudges; signals.scan.run_bar lets one pass cover them."""
    if timeframe == settings.BASE_TIMEFRAME:
        nudge("signals.tasks.scan_bar", bar_ms=timestamp)


@receiver(events.signal_issued)
def trade_the_signal(signal_id: int, **_: Any) -> None:
    nudge("signals.tasks.autotrade", signal_id=signal_id)


@receiver(events.autotrade_started)
def take_open_signals(config_id: int, **_: Any) -> None:
    nudge("signals.tasks.take_open_signals", config_id=config_id)


@receiver(events.training_requested)
def train(run_id: int, **_: Any) -> None:
    nudge("signals.tasks.run_training", run_id=run_id)


@receiver(events.search_requested)
def search(search_id: int, lanes: int, **_: Any) -> None:
    """Each message is a worker that tries one combination after the other."""
    for _number in range(lanes):
        nudge("signals.tasks.run_search", search_id=search_id)


@receiver(events.signal_issued)
def tell_pages_of_issued(signal_id: int, **_: Any) -> None:
    _tell("issued", signal_id)


@receiver(events.signal_ended)
def tell_pages_of_ended(signal_id: int, **_: Any) -> None:
    _tell("ended", signal_id)


def _tell(what: str, signal_id: int) -> None:
    async_to_sync(get_channel_layer().group_send)(groups.SIGNALS, {"type": "signal.news", "what": what, "signal_id": signal_id})
