"""Trading tasks. The rows are the queue: doubling or losing one of these messages is harmless."""

from typing import Any

from celery import shared_task

from traderai.lib.nudge import nudge


@shared_task(name="exchanges.tasks.execute_orders")
def execute_orders(*, account_id: int, **_: Any) -> None:
    """Do what one account waits for."""
    from exchanges import execution  # numba loads in the worker only

    execution.attend(account_id)


@shared_task(name="exchanges.tasks.sweep_orders")
def sweep_orders(**_: Any) -> None:
    """Wake a worker for every account whose orders were left behind; each on its own, so that none waits for another's trouble."""
    from exchanges import execution

    for account_id in execution.waiting():
        nudge("exchanges.tasks.execute_orders", account_id=account_id)


@shared_task(name="exchanges.tasks.manage_positions")
def manage_positions(*, market_id: int, **_: Any) -> None:
    """Carry the positions of one market through its newest bars."""
    from exchanges import positions

    positions.on_bar(market_id)


@shared_task(name="exchanges.tasks.sweep_positions")
def sweep_positions(**_: Any) -> None:
    """Value open positions at the newest prices, and wake a worker for every market whose positions have not seen the newest bar.

    Each on its own, so that none waits for another's trouble.
    """
    from exchanges import positions

    positions.mark_all()
    for market_id in positions.waiting():
        nudge("exchanges.tasks.manage_positions", market_id=market_id)
