"""Debian's Chromium against the real ASGI application on loopback."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvicorn
from django.db import connection

from signals import registry

# Playwright's synchronous API keeps an event loop in the main thread, where Django would refuse to touch the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    return {**browser_type_launch_args, "executable_path": "/usr/bin/chromium", "args": FLAGS}


@pytest.fixture
def site(transactional_db, settings):
    """The address of a running site that shares the test's database."""
    settings.WHITENOISE_USE_FINDERS = True  # static files from where they lie; nothing was collected
    from traderai.asgi import application

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="off", ws="websockets-sansio"))
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the server ended while starting"
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(5)
    listener.close()


@pytest.fixture
def staff(site, page, client_for, sam):
    """A page with sam's session: staff that has shown a second factor."""
    cookie = client_for(sam).cookies["session"].value
    page.context.add_cookies([{"name": "session", "value": cookie, "url": site}])
    return page


@pytest.fixture
def models(settings, tmp_path):
    """A model folder of this test alone."""
    settings.MODEL_DIR = tmp_path / "models"
    registry.forget()
    yield settings.MODEL_DIR
    registry.forget()


@pytest.fixture
def console(page):
    """What the browser's console complained about; asserted empty at the end."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield complaints
    assert complaints == []


def in_a_worker(work, *args):
    """As a worker would: in a thread without playwright's event loop."""

    def run():
        try:
            return work(*args)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as worker:
        return worker.submit(run).result()
