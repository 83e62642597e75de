"""Open sockets end with the session that opened them, however it ends."""

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts.consumers import NOT_SIGNED_IN
from tests.accounts.test_login import sign_in
from tests.conftest import PASSWORD, make_user

pytestmark = pytest.mark.django_db(transaction=True)

PATHS = ["/ws/signals/", "/ws/positions/{}/"]


@pytest.fixture(autouse=True)
def _host(settings):
    settings.ALLOWED_HOSTS = ["testserver"]


@sync_to_async
def signed_in(*emails: str) -> list[Client]:
    """A client for each address; the same address twice is one person in two browsers."""
    people, clients = {email: make_user(email) for email in dict.fromkeys(emails)}, []
    for email in emails:
        client = Client()
        sign_in(client, email)
        client.person = people[email]
        clients.append(client)
    return clients


async def socket(client: Client, path: str = PATHS[0]) -> WebsocketCommunicator:
    from traderai.asgi import application

    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()
    headers = [(b"origin", b"http://testserver"), (b"host", b"testserver"), (b"cookie", cookie)]
    communicator = WebsocketCommunicator(application, path.format(client.person.pk), headers=headers)
    assert (await communicator.connect())[0]
    assert await communicator.receive_nothing(0.1)
    return communicator


async def is_closed(communicator: WebsocketCommunicator) -> bool:
    return await communicator.receive_output(timeout=3) == {"type": "websocket.close", "code": NOT_SIGNED_IN}


@pytest.mark.parametrize("path", PATHS)
async def test_it_closes_when_its_session_signs_out(path):
    (client,) = await signed_in("alice@example.com")
    live = await socket(client, path)
    await sync_to_async(client.post)(reverse("account_logout"))
    assert await is_closed(live)


async def test_it_stays_when_another_session_of_the_same_person_signs_out():
    desk, phone = await signed_in("alice@example.com", "alice@example.com")
    at_desk, on_phone = await socket(desk), await socket(phone)
    await sync_to_async(phone.post)(reverse("account_logout"))
    assert await is_closed(on_phone)
    assert await at_desk.receive_nothing(0.3)
    await at_desk.disconnect()


async def test_it_closes_when_its_session_is_ended_from_another():
    desk, phone = await signed_in("alice@example.com", "alice@example.com")
    at_desk, on_phone = await socket(desk), await socket(phone)
    await sync_to_async(desk.post)(reverse("usersessions_list"))
    assert await is_closed(on_phone)
    assert await at_desk.receive_nothing(0.3)
    await at_desk.disconnect()


async def test_it_closes_everywhere_when_the_password_changes():
    desk, phone = await signed_in("alice@example.com", "alice@example.com")
    at_desk, on_phone = await socket(desk), await socket(phone)
    new = "another battery horse"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    reply = await sync_to_async(desk.post)(reverse("account_change_password"), form)
    assert reply.status_code == 302
    assert await is_closed(at_desk)
    assert await is_closed(on_phone)


async def test_it_closes_when_staff_block_the_account():
    (client,) = await signed_in("alice@example.com")
    live = await socket(client)
    client.person.is_active = False
    await sync_to_async(client.person.save)()
    assert await is_closed(live)


async def test_it_does_not_mind_what_happens_to_others():
    alice, bob = await signed_in("alice@example.com", "bob@example.com")
    live = await socket(alice)
    await sync_to_async(bob.post)(reverse("account_logout"))
    assert await live.receive_nothing(0.3)
    await live.disconnect()


async def test_signing_in_elsewhere_closes_nothing():
    (client,) = await signed_in("alice@example.com")
    live = await socket(client)
    await sync_to_async(sign_in)(Client(), "alice@example.com")
    assert await live.receive_nothing(0.3)
    await live.disconnect()
