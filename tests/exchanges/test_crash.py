"""Real processes: workers that are killed with SIGKILL at the worst moments, and workers that do the same work at once."""

import signal
from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges import candles, execution, paper_accounts, positions
from exchanges.models import Fill, LedgerEntry, Order, Position
from tests.databases import database_url
from tests.exchanges.entries import BAR_MS, START_MS, ledger_sum, plan_at, store, submit
from tests.exchanges.worker import CONTEXT, HERE, POINTS, work
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


class Worker:
    """A process of tests.exchanges.worker on the test database."""

    def __init__(self, *told: object) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=work, args=(theirs, *told))
        with pytest.MonkeyPatch.context() as environment:  # of the process that it is forked from, which starts with the first worker
            environment.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
            environment.setenv("DATABASE_URL", database_url())
            self.process.start()
        theirs.close()

    def is_there(self) -> bool:
        return self.pipe.poll(60) and self.pipe.recv() == HERE

    def exit_status(self) -> int:
        """Negative when a signal ended it."""
        self.process.join(60)
        return self.process.exitcode


@pytest.fixture
def worker(account, market):
    """worker(point): a process that goes there."""
    started = []

    def start(*point: str) -> Worker:
        started.append(Worker(account.pk, market.pk, *point))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.join()


def kill_at(worker, point: str) -> None:
    reached = worker(point)
    assert reached.is_there()
    reached.process.kill()
    assert reached.exit_status() == -signal.SIGKILL


def run_at_once(worker, count: int) -> None:
    workers = [worker() for _ in range(count)]
    assert all(each.is_there() for each in workers)
    for each in workers:
        each.pipe.send("go")
    assert [each.exit_status() for each in workers] == [0] * count


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
