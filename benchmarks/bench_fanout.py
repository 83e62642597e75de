"""One broadcast to many sockets: python benchmarks/bench_fanout.py [--clients 2000 10000] [--rounds 20] [--sustained 500]. Prints JSON.

The product's own server as it is deployed: one `traderai.web` process (Daphne), a private Valkey (or REDIS_URL), its own throw-away database
(or DATABASE_URL), real sign-ins by session cookie. Clients are bare asyncio protocols in processes of their own on the same machine,
so latencies hold their work, too; they read the clock (monotonic, one machine) when the frame arrives. A round is one tick of a market that all
watch: from before `publishing.publish` to the last client. The server's CPU time beside it depends less on what else runs on the machine; it holds the pings between the rounds.
The sustained load: 50 markets, 4 updates a second each, every client watching one of them.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DATA_DIR = tempfile.mkdtemp(prefix="traderai-bench-")
os.environ["DATA_DIR"] = DATA_DIR
os.environ["LOG_LEVEL"] = "WARNING"
os.environ["REDIS_URL"] = os.environ.get("REDIS_URL") or f"unix://{DATA_DIR}/run/redis.sock"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

MARKETS = 50
HERTZ = 4
SUSTAINED_S = 10.0
CLIENTS_A_PROCESS = 5_000
CONNECTING_AT_ONCE = 100
CONNECT_S = 30.0
ROUND_S = 30.0
PAUSE_S = 0.6
MIB = 2**20
PRICE = b'"price":'
TEXT, PING = 1, 9


class Client(asyncio.Protocol):
    """A socket that upgrades, then notes when a frame with the awaited price came. It answers pings as it must."""

    def __init__(self, fleet: "Fleet", request: bytes) -> None:
        self.fleet, self.request = fleet, request
        self.opened = asyncio.get_running_loop().create_future()
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if not self.opened.done():
            head, end, self.rest = self.rest.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return
            self.opened.set_result(head.startswith(b"HTTP/1.1 101"))
        while len(self.rest) >= 4 and len(self.rest) >= sum(span := _span(self.rest)):
            start, length = span
            self.take(self.rest[0] & 0x0F, self.rest[start : start + length])
            self.rest = self.rest[start + length :]

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(bytes((0x8A, 0x80 | len(payload))) + bytes(4) + payload)
        elif opcode == TEXT:
            self.fleet.frames += 1
            if self.fleet.awaited in payload:
                self.fleet.arrivals.append(time.monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        self.fleet.lost += 1
        if not self.opened.done():
            self.opened.set_result(False)


def _span(frame: bytes) -> tuple[int, int]:
    """Where its payload begins, and how long that is; a server masks nothing."""
    if frame[1] < 126:
        return 2, frame[1]
    size = 2 if frame[1] == 126 else 8
    return 2 + size, int.from_bytes(frame[2 : 2 + size])


class Fleet:
    """The clients of one process, told what to do through a pipe."""

    def __init__(self, port: int, cookie: str, pipe: Connection) -> None:
        self.port, self.cookie, self.pipe = port, cookie, pipe
        self.clients: list[Client] = []
        self.arrivals: list[float] = []
        self.awaited, self.frames, self.lost = b"nothing yet", 0, 0

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            order, value = await loop.run_in_executor(None, self.pipe.recv)
            if order == "end":
                return
            self.pipe.send(await getattr(self, order)(value))

    async def connect(self, paths: list[str]) -> int:
        """How many of these sockets opened."""
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        return sum(await asyncio.gather(*(self._connect(path, gate) for path in paths)))

    async def expect(self, price: float) -> None:
        self.awaited, self.arrivals = PRICE + str(price).encode(), []

    async def arrived(self, deadline: float) -> list[float]:
        while len(self.arrivals) < len(self.clients) and time.monotonic() < deadline:  # noqa: ASYNC110  (rounds, not events)
            await asyncio.sleep(0.02)
        return self.arrivals

    async def counted(self, _: Any) -> tuple[int, int]:
        """Updates received since the last time, and sockets lost in all."""
        frames, self.frames = self.frames, 0
        return frames, self.lost

    async def _connect(self, path: str, gate: asyncio.Semaphore) -> bool:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Origin: http://127.0.0.1:{self.port}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Cookie: {self.cookie}", "", ""]
        async with gate:
            try:
                async with asyncio.timeout(CONNECT_S):
                    request = "\r\n".join(lines).encode()
                    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(self, request), "127.0.0.1", self.port)
                    opened = await client.opened
            except (OSError, TimeoutError):
                return False
        if opened:
            self.clients.append(client)
        return opened


def _fleet(port: int, cookie: str, pipe: Connection) -> None:
    asyncio.run(Fleet(port, cookie, pipe).serve())


class Fleets:
    """All client processes."""

    def __init__(self, count: int, port: int, cookie: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_fleet, args=(port, cookie, theirs), daemon=True)
            process.start()
            self.pipes.append(ours)
            self.processes.append(process)

    def ask(self, order: str, values: list[Any]) -> list[Any]:
        for pipe, value in zip(self.pipes, values, strict=True):
            pipe.send((order, value))
        return [pipe.recv() for pipe in self.pipes]

    def ask_all(self, order: str, value: Any = None) -> list[Any]:
        return self.ask(order, [value] * len(self.pipes))

    def end(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(("end", None))
            process.join(30)


class Server:
    """The web process."""

    def __init__(self, argv: list[str], port: int) -> None:
        self.process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert time.monotonic() < deadline, "the server does not listen"
            assert self.process.poll() is None, "the server ended while starting"
            time.sleep(0.1)

    @property
    def resident(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self) -> None:
        """Return once it is idle: a socket is accepted before it has been given its market."""
        used_s = PAUSE_S
        while used_s > PAUSE_S / 4:
            used_s = -self.cpu_s
            time.sleep(PAUSE_S)
            used_s += self.cpu_s

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1e3, 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3, 1),
        "max_ms": round(ordered[-1] * 1e3, 1),
    }


def broadcast(count: int, rounds: int, server: Server, port: int, cookie: str, market: Any) -> dict[str, Any]:
    """One tick to `count` sockets that watch its market, `rounds` times."""
    from exchanges.live import Tick
    from exchanges.streams import publishing

    fleets = Fleets(-(-count // CLIENTS_A_PROCESS), port, cookie)
    fleets.ask_all("counted")  # they have started
    before = server.resident
    share = [count // len(fleets.pipes)] * len(fleets.pipes)
    began = time.monotonic()
    opened = sum(fleets.ask("connect", [[f"/ws/market/{market.symbol}/"] * each for each in share]))
    connected_s = time.monotonic() - began
    server.settle()
    grown = server.resident - before
    all_s, last_s, missed, cpu_s = [], [], 0, server.cpu_s
    for number in range(rounds):
        price = 1_000_000.5 + number
        fleets.ask_all("expect", price)
        sent = time.monotonic()
        publishing.publish([Tick(market.pk, market.symbol, price, time.time_ns() // 10**6, "simulated")])
        arrivals = [at - sent for each in fleets.ask_all("arrived", sent + ROUND_S) for at in each]
        missed += opened - len(arrivals)
        all_s += arrivals
        last_s.append(max(arrivals, default=ROUND_S))
        time.sleep(PAUSE_S)
    cpu_s = server.cpu_s - cpu_s
    lost = sum(each for _, each in fleets.ask_all("counted"))
    fleets.end()
    return {
        "clients": count,
        "failed_connects": sum(share) - opened,
        "connects_per_s": round(opened / connected_s),
        "kib_per_connection": round(grown / max(opened, 1) / 1024, 1),
        "resident_mib": round(server.resident / MIB),
        "rounds": rounds,
        "last_client": figures(last_s),
        "every_client": figures(all_s),
        "server_cpu_ms_per_round": round(cpu_s / rounds * 1e3, 1),
        "frames_missed": missed,
        "sockets_lost": lost,
    }


def sustained(count: int, server: Server, port: int, cookie: str, markets: list[Any]) -> dict[str, Any]:
    """The server's CPU while every market ticks four times a second and each client watches one."""
    from exchanges.live import Tick
    from exchanges.streams import publishing

    fleets = Fleets(1, port, cookie)
    (opened,) = fleets.ask("connect", [[f"/ws/market/{markets[i % len(markets)].symbol}/" for i in range(count)]])
    server.settle()
    fleets.ask_all("counted")
    cpu_s, began, beats = server.cpu_s, time.monotonic(), int(SUSTAINED_S * HERTZ)

    async def publish() -> None:
        for beat in range(beats):
            await asyncio.sleep(max(0.0, began + beat / HERTZ - time.monotonic()))
            now_ms = time.time_ns() // 10**6
            await publishing.apublish([Tick(each.pk, each.symbol, 100.0 + beat, now_ms, "simulated") for each in markets])

    asyncio.run(publish())
    time.sleep(PAUSE_S)
    took_s = time.monotonic() - began
    (frames, lost) = fleets.ask_all("counted")[0]
    fleets.end()
    return {
        "clients": count,
        "failed_connects": count - opened,
        "markets": len(markets),
        "updates_per_s": HERTZ,
        "frames_per_s": round(frames / took_s),
        "updates_conflated": beats * opened - frames,
        "sockets_lost": lost,
        "server_cpu_pct": round((server.cpu_s - cpu_s) / took_s * 100, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="*", default=[2_000, 10_000])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sustained", type=int, default=500, help="clients of the sustained load; 0 leaves it out")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client as Browser

    from accounts.models import User
    from exchanges import candles
    from exchanges.models import Market
    from traderai import embedded

    broker = None
    if os.environ["REDIS_URL"].startswith("unix:"):
        settings.RUN_DIR.mkdir(parents=True, exist_ok=True)
        argv = [str(each) for each in embedded.valkey().argv]
        argv[argv.index("--unixsocket") + 1] = os.environ["REDIS_URL"].removeprefix("unix://")
        broker = subprocess.Popen(argv)
    call_command("migrate", verbosity=0)
    markets = [candles.add_market(f"B{i}/USDT:USDT") for i in range(MARKETS)]
    Market.objects.filter(pk__in=[each.pk for each in markets]).update(provenance="simulated")
    browser = Browser()
    user, _ = User.objects.get_or_create(email="bench@example.com")
    browser.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = list(embedded.web("127.0.0.1", port).argv)
    results: dict[str, Any] = {"benchmark": "fanout", "load_before": round(os.getloadavg()[0], 2)}
    try:
        for count in options.clients:
            server = Server(argv, port)
            try:
                results[f"broadcast_{count}"] = broadcast(count, options.rounds, server, port, cookie, markets[0])
            finally:
                server.end()
        if options.sustained:
            server = Server(argv, port)
            try:
                results["sustained"] = sustained(options.sustained, server, port, cookie, markets)
            finally:
                server.end()
    finally:
        if broker:
            broker.terminate()
            broker.wait(10)
        shutil.rmtree(DATA_DIR)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
