"""The budget of requests that all processes share: in a real Redis of its own, and in the file that stands in for it."""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from exchanges.ports import VenueUnavailable
from exchanges.venues import budget
from exchanges.venues.limits import LIMITS, OTHER, ROUTES, WEIGHT, Charge, charge
from tests.private_redis import Server

ROOT = Path(__file__).resolve().parents[2]
BYBIT = LIMITS["bybit"]["other"]


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as folder:  # a socket's path must be short
        running = Server(Path(folder))
        yield running
        running.kill()


def client_of(server) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket))


@pytest.fixture(params=["file", "redis"])
def shared(request, settings, tmp_path):
    """Where the state lives: two kinds of the same thing."""
    settings.RUN_DIR = tmp_path / "run"
    settings.VENUE_BASE_URLS = {}
    settings.VENUE_RATE_SHARE = 0.9
    settings.REDIS_URL = ""
    if request.param == "redis":
        running = request.getfixturevalue("server")
        client_of(running).flushall()
        settings.REDIS_URL = running.url
        budget._outage = budget._Outage()
    return request.param


@pytest.fixture
def spenders(shared, settings):
    """spenders(n, seconds): n processes of four threads that spend Bybit's budget; they have started, and nobody has spent yet."""
    started = []

    def start(count: int, seconds: float) -> list[subprocess.Popen]:
        code = [sys.executable, "-m", "tests.exchanges.spender", settings.REDIS_URL, str(settings.RUN_DIR), str(seconds), "4"]
        fresh = [subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(count)]
        started.extend(fresh)
        for process in fresh:
            assert process.stdout.readline().startswith("ready")
        return fresh

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(processes) -> None:
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def told(processes) -> tuple[list[float], list[float]]:
    """When somebody was let through, and how long those who were turned away should wait."""
    lines = [line.rsplit(maxsplit=1) for process in processes for line in process.communicate(timeout=30)[0].splitlines()]
    return sorted(float(at) for word, at in lines if word == "through"), [float(wait) for word, wait in lines if word == "turned away"]


def test_it_lets_processes_and_threads_together_through_at_the_venues_pace(spenders):
    processes = spenders(2, 1.5)
    go(processes)
    through, _ = told(processes)
    rate, burst = budget.pace("bybit", "other")
    lasted_s = through[-1] - through[0]
    assert len(through) <= burst + rate * (lasted_s + 0.1)
    assert len(through) >= 0.7 * (burst + rate * 1.5), "and it does not dawdle"


def test_it_stays_usable_when_a_process_is_killed(spenders):
    victim, survivor = spenders(2, 1.0)
    go([victim, survivor])
    time.sleep(0.3)
    victim.kill()
    through, _ = told([survivor])
    rate, _ = budget.pace("bybit", "other")
    assert len([at for at in through if at > through[-1] - 0.5]) >= 0.6 * 0.5 * rate
    budget.take("bybit", "other", patience_s=1.0)


def test_a_block_holds_back_the_other_process(spenders):
    (other,) = spenders(1, 0.5)
    budget.block("bybit", 60)
    go([other])
    through, waits = told([other])
    assert through == []
    assert len(waits) == 4
    assert all(55 < wait <= 61 for wait in waits)


def test_a_block_holds_back_who_already_waits_for_its_turn(shared):
    rate, burst = budget.pace("okx", "time")
    budget.take("okx", "time", burst + 0.2 * rate)  # so that the next one waits
    done = []
    waiting = threading.Thread(target=lambda: done.append((budget.take("okx", "time"), time.monotonic())))
    started_s = time.monotonic()
    waiting.start()
    time.sleep(0.1)
    budget.block("okx", 0.6)
    waiting.join()
    assert done[0][1] - started_s >= 0.65


def test_it_says_how_long_to_wait_when_that_is_too_long(shared):
    budget.block("binance", 3600)
    with pytest.raises(VenueUnavailable, match=r"binance may be asked again in 36.. s") as caught:
        budget.take("binance", WEIGHT, 5)
    assert 3590 < caught.value.retry_after_s <= 3601
    budget.take("okx", "time")
    budget.block("bybit", float("inf"))
    with pytest.raises(VenueUnavailable) as caught:
        budget.take("bybit", "other")
    assert caught.value.retry_after_s < 4 * 86_400


def test_who_is_turned_away_takes_no_slot(shared):
    rate, burst = budget.pace("binance", WEIGHT)
    budget.take("binance", WEIGHT, burst)
    for _ in range(5):
        with pytest.raises(VenueUnavailable):
            budget.take("binance", WEIGHT, 10 * rate, patience_s=1.0)
    began_s = time.monotonic()
    budget.take("binance", WEIGHT, 0.1 * rate)
    assert time.monotonic() - began_s < 0.5


def test_buckets_of_a_venue_are_counted_apart_and_a_gateway_is_another_account(shared, settings):
    with pytest.raises(VenueUnavailable):
        budget.take("okx", "time", 1000, patience_s=0.1)
    budget.take("okx", "time", budget.pace("okx", "time").burst)
    budget.take("okx", "books", patience_s=0.0)
    budget.block("okx", 60)
    settings.VENUE_BASE_URLS = {"okx": "http://127.0.0.1:8080"}
    budget.take("okx", "books", patience_s=0.0)


@pytest.mark.parametrize(
    ("used", "into_s", "wait_s"),
    [
        (2160, 30.0, 30.0),  # all of the minute's: nothing before the minute is over
        (5000, 10.0, 50.0),
        (100, 30.0, 0.0),  # less than what is ours by now
    ],
)
def test_it_learns_what_other_programs_have_used(shared, used, into_s, wait_s):
    burst = budget.pace("binance", WEIGHT).burst
    budget.learn("binance", WEIGHT, used=used, into_s=into_s)
    if not wait_s:
        budget.take("binance", WEIGHT, burst, patience_s=0.0)
        return
    with pytest.raises(VenueUnavailable) as caught:
        budget.take("binance", WEIGHT, burst, patience_s=0.1)
    assert caught.value.retry_after_s == pytest.approx(wait_s, abs=0.5)


def test_a_clock_that_was_put_back_prolongs_no_wait(shared, settings, server):
    """What is stored comes from a clock that was an hour ahead."""
    ahead = time.time() + 3600
    state = {"seen": ahead, "blocked": ahead + 0.2, "other": ahead - 1}
    if shared == "redis":
        client_of(server).hset("traderai:budget:bybit", mapping=state)
    else:
        settings.RUN_DIR.mkdir()
        (settings.RUN_DIR / "budget-bybit.json").write_text(json.dumps(state) + "\n")
    began_s = time.monotonic()
    budget.take("bybit", "other")
    assert 0.1 < time.monotonic() - began_s < 1.0


@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_one_test_did_at_an_address_is_none_of_the_next_ones_business(settings, turn):
    """Neither has a folder of its own; the second would wait for what the first was refused."""
    settings.REDIS_URL, settings.VENUE_BASE_URLS = "", {"alpaca": "http://127.0.0.1:8080"}
    budget.take("alpaca", "data", patience_s=0.0)
    budget.block("alpaca", 60)
    assert list(settings.RUN_DIR.glob("budget-alpaca@*.json"))


def test_a_file_from_long_ago_holds_nobody_up(settings, tmp_path):
    """What it says are moments: those that have passed say nothing any more, whichever program left them."""
    settings.REDIS_URL, settings.RUN_DIR, settings.VENUE_RATE_SHARE, settings.VENUE_BASE_URLS = "", tmp_path, 0.9, {}
    ago = time.time() - 5.0
    (tmp_path / "budget-bybit.json").write_text(json.dumps({"seen": ago - 60.0, "blocked": ago, "other": ago}) + "\n")
    burst, now = budget.pace("bybit", "other").burst, time.time()
    budget.take("bybit", "other", burst, patience_s=0.0)
    assert json.loads((tmp_path / "budget-bybit.json").read_text())["other"] >= now, "the whole burst was not taken from now on"


@pytest.mark.parametrize("content", [b"", b"\x00\x00", b'{"seen": ', b"[1]\n", b'{"other": "x"}\n', b'{"other": null}\n'])
def test_a_file_that_is_unreadable_begins_anew(settings, tmp_path, content):
    settings.REDIS_URL, settings.RUN_DIR, settings.VENUE_RATE_SHARE, settings.VENUE_BASE_URLS = "", tmp_path, 0.9, {}
    (tmp_path / "budget-bybit.json").write_bytes(content)
    budget.take("bybit", "other", patience_s=0.0)
    assert set(json.loads((tmp_path / "budget-bybit.json").read_bytes())) == {"seen", "other"}


def test_a_disk_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.REDIS_URL, settings.RUN_DIR = "", tmp_path / "file"
    with pytest.raises(VenueUnavailable, match=r"budget of requests cannot be kept in .*; free or repair that disk"):
        budget.take("bybit", "other")


@pytest.mark.parametrize("url", ["http://localhost", "nonsense", "unix:///nowhere/redis.sock", "redis://127.0.0.1:1/0"])
def test_it_works_with_the_file_when_redis_cannot_be_had_at_all(settings, tmp_path, url):
    settings.REDIS_URL, settings.RUN_DIR, settings.VENUE_RATE_SHARE, settings.VENUE_BASE_URLS = url, tmp_path, 0.9, {}
    budget._outage = budget._Outage()
    budget.take("bybit", "other")
    assert (tmp_path / "budget-bybit.json").exists()


def test_it_falls_back_to_the_file_while_redis_is_away_and_says_so_once(settings, tmp_path, caplog):
    folder = tempfile.mkdtemp(prefix="redis-", dir="/tmp")
    server = Server(Path(folder))
    settings.REDIS_URL, settings.RUN_DIR, settings.VENUE_RATE_SHARE, settings.VENUE_BASE_URLS = server.url, tmp_path, 0.9, {}
    budget._outage = budget._Outage()
    try:
        budget.take("bybit", "other")
        assert client_of(server).exists("traderai:budget:bybit")
        server.kill()
        began_s = time.monotonic()
        for _ in range(20):
            budget.take("bybit", "other")
        assert time.monotonic() - began_s < 2.0
        assert (tmp_path / "budget-bybit.json").exists()
        server.start()
        budget._outage._until_s = 0.0
        budget.take("bybit", "other")
        assert client_of(server).exists("traderai:budget:bybit")
        said = caplog.text
        assert (said.count("Redis is away"), said.count("Redis is back")) == (1, 1)
    finally:
        server.kill()
        shutil.rmtree(folder)


# (seconds since the last request, cost, the order): takes, now and then a block
requests = st.lists(
    st.tuples(st.floats(0, 8), st.integers(1, 60), st.sampled_from(["take"] * 6 + ["hold"])),
    min_size=1,
    max_size=60,
)


@given(requests, st.floats(0.05, 1.0), st.floats(0, 60))
def test_no_period_ever_holds_more_than_the_limit(asked, share, patience_s):
    allowed = BYBIT.cost * share
    burst = max(allowed * budget.BURST_SHARE, 60.0)
    rate = (allowed - allowed * budget.BURST_SHARE) / BYBIT.per_s
    state: budget.State = {}
    now, granted, blocks = 1_700_000_000.0, [], []
    for pause_s, cost, order in asked:
        now += pause_s
        if order == "hold":
            budget.step(state, now, "hold", budget.BLOCKED, pause_s)
            blocks.append((now, now + pause_s))
            continue
        wait_s = budget.step(state, now, "take", "other", cost, rate, burst, patience_s)
        if wait_s <= patience_s:
            granted.append((now + max(0.0, wait_s), cost, now))
    for at, _, _ in granted:
        within = sum(cost for moment, cost, _ in granted if at <= moment < at + BYBIT.per_s)
        assert within <= burst + rate * BYBIT.per_s + 1e-3
    assert not [at for at, _, asked_at in granted for begin, end in blocks if begin <= asked_at and asked_at <= at < end - 1e-6]


@given(requests, st.floats(1, 100_000))
def test_a_clock_that_was_put_back_changes_no_answer(asked, back_s):
    """The same requests, answered with and without a clock that jumps in the middle."""
    rate, burst = 10.0, 20.0
    steady: budget.State = {}
    jumping: budget.State = {}
    now, offset = 1_700_000_000.0, 0.0
    for number, (pause_s, cost, order) in enumerate(asked):
        now += pause_s
        if number == len(asked) // 2:
            budget.step(jumping, now + offset, budget.BLOCKED, budget.BLOCKED)
            offset -= back_s
        numbers = (cost, rate, burst, 30.0) if order == "take" else (pause_s,)
        name = "other" if order == "take" else budget.BLOCKED
        answers = [budget.step(state, at, order, name, *numbers) for state, at in ((steady, now), (jumping, now + offset))]
        if number == len(asked) // 2:
            # Both have seen this very moment, so nothing is lost of what was paid.
            assert answers[0] == pytest.approx(answers[1], abs=1e-3)


@pytest.mark.parametrize(
    ("venue", "path", "query", "cost"),
    [
        ("binance", "/fapi/v1/klines", {"limit": "99"}, ("weight", 1)),
        ("binance", "/fapi/v1/klines", {"limit": "100"}, ("weight", 2)),
        ("binance", "/fapi/v1/klines", {"limit": "1000"}, ("weight", 5)),
        ("binance", "/fapi/v1/klines", {"limit": "1500"}, ("weight", 10)),
        ("binance", "/fapi/v1/klines", {}, ("weight", 5)),
        ("binance", "/fapi/v1/ticker/24hr", {}, ("weight", 40)),
        ("binance", "/fapi/v1/ticker/24hr", {"symbol": "BTCUSDT"}, ("weight", 1)),
        ("binance", "/fapi/v1/fundingRate", {"symbol": "BTCUSDT", "limit": "1000"}, ("funding", 1)),
        ("binance", "/fapi/v1/somethingNew", {}, ("other", 1)),
        ("binance", "/api/v3/depth", {"limit": "5000"}, ("spot weight", 250)),
        ("okx", "/api/v5/market/history-candles", {"limit": "300"}, ("history candles", 1)),
        ("bybit", "/v5/market/kline", {"limit": "1000"}, ("other", 1)),
        ("bitget", "/api/v2/mix/market/history-candles", {}, ("history candles", 1)),
    ],
)
def test_it_charges_as_the_venue_does(venue, path, query, cost):
    assert charge(venue, path, query) == cost


def test_no_charge_is_more_than_its_bucket_bears(settings):
    settings.VENUE_RATE_SHARE = 0.9
    for venue, routes in ROUTES.items():
        for charged in [*routes.values(), Charge(OTHER)]:
            limit, (rate, burst) = LIMITS[venue][charged.bucket], budget.pace(venue, charged.bucket)
            dearest = max([charged.cost, *(cost for _, cost in charged.steps)])
            if dearest <= burst:
                assert rate * limit.per_s + burst <= 0.92 * limit.cost, (venue, charged)
            else:  # a request dearer than the burst waits for what it lacks, so they go out evenly spaced
                assert int(rate * limit.per_s / dearest + 1) * dearest <= limit.cost, (venue, charged)
