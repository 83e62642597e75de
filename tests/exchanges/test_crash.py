"""Real processes: workers that are killed with SIGKILL at the worst moments, and workers that do the same work at once."""

import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges import candles, execution, paper_accounts, positions
from exchanges.models import Fill, LedgerEntry, Order, Position
from tests.databases import database_url
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from tests.exchanges.worker import HERE, POINTS
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

SENDING = [point for point in POINTS if not point.startswith("stepped")]
STEPPING = [point for point in POINTS if point.startswith("stepped")]


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


@pytest.fixture
def entry(account, market):
    """An entry whose price has just come; no worker has seen it yet."""
    decided = store(market, [3000.0] * 4)
    order = submit(account, market, plan_at(3000.0, decided + BAR_MS))
    store(market, [3001.0], start_ms=decided)
    return order


@pytest.fixture
def held(account, market):
    submit(account, market, plan_at(3000.0, store(market, [3000.0] * 4)))
    return Position.objects.get()


@pytest.fixture
def worker(account, market):
    """worker(point): a process that has got there."""
    started = []

    def start(*point: str) -> subprocess.Popen[str]:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": database_url()}
        command = [sys.executable, "-m", "tests.exchanges.worker", str(account.pk), str(market.pk), *point]
        process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill_at(worker, point: str) -> None:
    process = worker(point)
    assert process.stdout.readline().strip() == HERE
    process.kill()
    assert process.wait() == -9


def run_at_once(worker, count: int) -> None:
    processes = [worker() for _ in range(count)]
    for process in processes:
        assert process.stdout.readline().strip() == HERE
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(timeout=60) for process in processes] == [0] * count


def restart() -> None:
    """Another worker comes, after the time that a slow one is given."""
    execution.sweep(now=clock.now() + timedelta(minutes=1))
    execution.sweep()


def books_balance(account) -> bool:
    account.refresh_from_db()
    return account.balance == ledger_sum(account) == 1000 + sum(p.realised_pnl - p.fees + p.funding for p in Position.objects.all())


@pytest.mark.parametrize("point", SENDING)
def test_an_entry_whose_worker_is_killed_is_filled_once_or_never(account, market, entry, worker, point):
    kill_at(worker, point)
    restart()
    entry.refresh_from_db()
    found = (entry.state, Fill.objects.count(), Position.objects.count(), LedgerEntry.objects.exclude(kind="deposit").count())
    assert found == (("filled", 1, 1, 1) if point == "committed" else ("rejected", 0, 0, 0))
    assert books_balance(account)
    assert execution.waiting() == []
    if point != "committed":  # and nothing is left that would keep the next signal out
        again = submit(account, market, plan_at(3001.0, START_MS + 5 * BAR_MS), origin="signal:2")
        again.refresh_from_db()
        assert again.state == "filled", again.reason


@pytest.mark.parametrize("point", SENDING)
def test_a_close_whose_worker_is_killed_leaves_exactly_once(account, market, held, worker, monkeypatch, point):
    with monkeypatch.context() as away:
        away.setattr("exchanges.receivers.nudge", lambda *_, **__: None)
        execution.close_position(held, reason="manual")
    kill_at(worker, point)
    restart()
    held.refresh_from_db()
    assert (held.status, held.qty, held.exit_reason) == ("closed", 0, "manual")
    assert list(Fill.objects.order_by("pk").values_list("side", "qty")) == [("buy", held.qty_opened), ("sell", held.qty_opened)]
    assert not Order.objects.unsettled().exists()
    assert books_balance(account)


@pytest.mark.parametrize("point", STEPPING)
def test_a_position_whose_manager_is_killed_is_stepped_once(account, market, held, worker, point):
    store(market, [3065.0, 3125.0] + [3120.0] * 6, start_ms=START_MS + 4 * BAR_MS)
    kill_at(worker, point)
    positions.on_bar(market.pk)
    held.refresh_from_db()
    assert (held.tps_hit, held.last_bar_ms) == (2, START_MS + 11 * BAR_MS)
    assert list(Fill.objects.order_by("pk").values_list("reason", flat=True)) == ["entry", "tp1", "tp2"]
    assert LedgerEntry.objects.filter(kind="funding").count() == 1
    assert books_balance(account)


def test_workers_that_send_the_same_entry_at_once_fill_it_once(account, entry, worker):
    run_at_once(worker, 2)
    entry.refresh_from_db()
    assert (entry.state, Fill.objects.count(), Position.objects.count()) == ("filled", 1, 1)
    assert books_balance(account)


def test_workers_that_manage_the_same_bars_at_once_book_them_once(account, market, held, worker):
    store(market, [3065.0, 3125.0] + [3120.0] * 6, start_ms=START_MS + 4 * BAR_MS)
    run_at_once(worker, 2)
    assert list(Fill.objects.order_by("pk").values_list("reason", flat=True)) == ["entry", "tp1", "tp2"]
    assert LedgerEntry.objects.filter(kind="funding").count() == 1
    assert books_balance(account)
