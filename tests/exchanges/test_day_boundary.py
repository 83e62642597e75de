"""The loss limits at midnight UTC of the market's day. docs/decisions/0007 says what they measure."""

from decimal import Decimal

import pytest

from exchanges import candles, paper_accounts
from exchanges.models import LedgerEntry, TradingAccount
from tests.exchanges.entries import BAR_MS, START_MS, plan_at, store, submit
from tests.exchanges.trading import make_position
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = START_MS + 86_400_000


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


def lose(account, amount: int, at_ms: int) -> None:
    LedgerEntry.objects.create(account=account, kind="pnl", amount=-amount, reference="x", at=clock.from_ms(at_ms))
    TradingAccount.objects.filter(pk=account.pk).update(balance=1000 - amount)


def ask_at(account, at_ms: int):
    """A decision on the close of the bar that ends at `at_ms`, which is the market's time then."""
    market = candles.find_market("ETH/USDT:USDT")
    store(market, [3000.0] * 4, start_ms=at_ms - 4 * BAR_MS)
    return submit(account, market, plan_at(3000.0, at_ms), risk_profile="high")


@pytest.mark.parametrize(
    ("lost_ms", "asked_ms", "is_denied"),
    [
        (MIDNIGHT - 1, MIDNIGHT, False),  # yesterday's
        (MIDNIGHT, MIDNIGHT, True),  # midnight is the new day's
        (MIDNIGHT - BAR_MS, MIDNIGHT - BAR_MS, True),
        (START_MS, MIDNIGHT - BAR_MS, True),  # the day's first moment, still counted in its last bar
        (START_MS - 1, MIDNIGHT - BAR_MS, False),
        (MIDNIGHT + BAR_MS, MIDNIGHT + 86_400_000, False),
    ],
)
def test_a_loss_counts_on_the_day_of_its_market_time(account, lost_ms, asked_ms, is_denied):
    lose(account, 100, lost_ms)
    order = ask_at(account, asked_ms)
    assert (order.state == "denied") is is_denied, order.reason
    assert ("day's loss of 10.0 %" in order.reason) is is_denied


def held(account, pnl: int) -> None:
    """One unit of another market, opened the day before, that stands at `pnl`."""
    market = candles.find_market("SOL/USDT:USDT")
    prices = {"entry_price": 1000, "initial_stop": 500, "stop_price": 500, "mark_price": 1000 + pnl, "best_price": 1000}
    make_position(account.user, market, account=account, qty=1, qty_opened=1, margin=100, **{k: Decimal(v) for k, v in prices.items()})


def test_an_open_loss_is_carried_into_the_new_day(account):
    held(account, -100)
    assert "day's loss of 10.0 %" in ask_at(account, MIDNIGHT).reason


def test_an_open_gain_is_carried_into_the_new_day(account):
    held(account, 20)
    lose(account, 100, MIDNIGHT)
    assert ask_at(account, MIDNIGHT).state != "denied"


@pytest.mark.parametrize(("peak", "is_denied"), [(1333, False), (1334, True)])
def test_the_drawdown_does_not_forget_at_midnight(account, peak, is_denied):
    TradingAccount.objects.filter(pk=account.pk).update(peak_equity=peak)
    order = ask_at(account, MIDNIGHT + BAR_MS)
    assert ("drawdown" in order.reason) is is_denied
