import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.db import close_old_connections

from accounts.consumers import NOT_SIGNED_IN
from signals import events
from signals.consumers import SignalsConsumer

pytestmark = pytest.mark.django_db


def socket(user) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(SignalsConsumer.as_asgi(), "/ws/signals/")
    communicator.scope["user"] = user
    return communicator


@database_sync_to_async
def send(event, signal_id: int) -> None:
    """As a worker does: from a thread without a loop."""
    event.send_robust(sender=None, signal_id=signal_id)
    close_old_connections()


async def test_it_turns_a_visitor_away():
    communicator = socket(AnonymousUser())
    assert (await communicator.connect())[0]  # browsers learn the reason only from a socket that was opened
    assert await communicator.receive_output() == {"type": "websocket.close", "code": NOT_SIGNED_IN}


async def test_it_tells_of_issued_and_ended_signals(alice):
    communicator = socket(alice)
    assert (await communicator.connect())[0]
    await send(events.signal_issued, 12)
    assert await communicator.receive_json_from() == {"type": "signal", "what": "issued", "signal_id": 12}
    await send(events.signal_ended, 12)
    assert await communicator.receive_json_from() == {"type": "signal", "what": "ended", "signal_id": 12}
    await communicator.disconnect()


async def test_it_does_not_mind_what_a_page_sends(alice):
    communicator = socket(alice)
    await communicator.connect()
    await communicator.send_to(text_data="{not json")
    assert await communicator.receive_nothing()
    await send(events.signal_issued, 3)
    assert (await communicator.receive_json_from())["signal_id"] == 3
    await communicator.disconnect()
