"""The web process as a process, and clients that do not behave."""

import base64
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.traderai.flood import FRAME

START = "import sys; from traderai import web; web.BEHIND_S = {behind_s}; web.CommandLine().run(sys.argv[1:])"
MASKED_HI = b"\x81\x82\x00\x00\x00\x00hi"


@pytest.fixture(scope="module")
def server():
    """(process, port) of a server that cuts off whoever is behind for 0.5 s."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [sys.executable, "-c", START.format(behind_s=0.5), "-b", "127.0.0.1", "-p", str(port), "--verbosity", "0"]
    argv.append("tests.traderai.flood:application")
    process = subprocess.Popen(argv)
    deadline = time.monotonic() + 30
    while process.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)) != 0:
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.05)
    yield process, port
    process.terminate()
    process.wait(20)


def deaf(port: int) -> socket.socket:
    """An open socket of a client that will not read."""
    client = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    client.sendall(f"{request}Sec-WebSocket-Version: 13\r\n\r\n".encode())
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def resident(process: subprocess.Popen) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096


def test_it_cuts_off_a_client_that_talks_but_never_reads(server):
    process, port = server
    with deaf(port) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 15:
                client.sendall(MASKED_HI)
                time.sleep(0.05)
    assert process.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_others_are_served_meanwhile_and_memory_stays(server):
    process, port = server
    with connect(f"ws://127.0.0.1:{port}/") as reader, contextlib.ExitStack() as stack:
        reader.recv(timeout=5)
        before = resident(process)
        for _ in range(5):
            stack.enter_context(deaf(port))
        ends = time.monotonic() + 2.0
        waits = []
        while time.monotonic() < ends:
            asked = time.monotonic()
            assert reader.recv(timeout=5) == FRAME
            waits.append(time.monotonic() - asked)
        assert len(waits) > 20
        assert resident(process) - before < 100 * 2**20, "ten megabytes a second each, for as long as they were let"


def test_it_keeps_a_client_that_only_pauses(server):
    _, port = server
    with connect(f"ws://127.0.0.1:{port}/") as reader:
        for _ in range(3):
            time.sleep(0.2)
            for _ in range(50):
                assert reader.recv(timeout=5) == FRAME


def test_it_says_good_bye_properly(server):
    _, port = server
    with connect(f"ws://127.0.0.1:{port}/") as reader:
        reader.recv(timeout=5)
    assert reader.close_code == 1000
