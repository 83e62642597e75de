"""What follows from events. Each receiver calls the next service or queues a task."""

from typing import Any

from django.dispatch import receiver

from backtesting import events
from signals.events import model_trained
from traderai.lib.nudge import nudge


@receiver(events.backtest_requested)
def wake_worker(*, run_id: int, **_: Any) -> None:
    nudge("backtesting.tasks.run_backtest", run_id=run_id)


@receiver(events.lookahead_requested)
def wake_checker(*, check_id: int, **_: Any) -> None:
    nudge("backtesting.tasks.check_lookahead", check_id=check_id)


@receiver(events.parameter_search_requested)
def wake_searcher(*, search_id: int, **_: Any) -> None:
    nudge("backtesting.tasks.run_parameter_search", search_id=search_id)


@receiver(model_trained)
def judge_candidate(*, model_id: int, **_: Any) -> None:
    nudge("backtesting.tasks.judge_model", model_id=model_id)
