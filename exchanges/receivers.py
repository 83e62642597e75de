"""What follows from events. Each receiver calls the next service or queues a task."""

from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.dispatch import receiver

from accounts.events import user_joined
from accounts.models import User
from exchanges import events, messages, paper_accounts
from exchanges.models import Position
from traderai.lib import groups
from traderai.lib.nudge import nudge


@receiver(events.backfill_requested)
def wake_backfill(*, job_id: int, **_: Any) -> None:
    nudge("exchanges.tasks.run_backfill", job_id=job_id)


@receiver(events.order_ready)
def wake_executor(*, account_id: int, **_: Any) -> None:
    nudge("exchanges.tasks.execute_orders", account_id=account_id)


@receiver(events.candle_closed)
def wake_position_manager(*, market_id: int, **_: Any) -> None:
    if Position.objects.filter(market_id=market_id).open().exists():
        nudge("exchanges.tasks.manage_positions", market_id=market_id)


@receiver(events.position_changed)
def tell_owner(*, position_id: int, user_id: int, **_: Any) -> None:
    """The owner's browsers see every change of a position, not of others'."""
    position = Position.objects.select_related("market").get(pk=position_id)
    message = {"type": "position.changed", "position": messages.of(position)}
    async_to_sync(get_channel_layer().group_send)(groups.positions(user_id), message)


@receiver(user_joined)
def open_paper_account(*, user_id: int, **_: Any) -> None:
    paper_accounts.open_for(User.objects.select_related("profile").get(pk=user_id))
