"""The live position manager: bars go through the shared exit logic, money is booked once and to the last unit."""

from decimal import Decimal

import numpy as np
import pytest

from exchanges import candles, execution, exits, paper_accounts, positions, streams
from exchanges.exits import ExitPlan
from exchanges.models import Fill, FundingRate, LedgerEntry, Market, Order, Position, TradingAccount
from exchanges.ports import CandleFrame, EntryPlan
from exchanges.tasks import sweep_positions
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
BAR_MS = 900_000


@pytest.fixture
def market():
    return candles.find_market("ETH/USDT:USDT")


@pytest.fixture
def account(alice):
    alice.profile.simulation_capital = Decimal(1000)
    alice.profile.save()
    return paper_accounts.open_for(alice)


def bars(market: Market, rows: list[tuple[float, float, float, float]], start_ms: int) -> CandleFrame:
    opened, high, low, close = (np.array(column, float) for column in zip(*rows, strict=True))
    return CandleFrame(market.symbol, "15m", start_ms + np.arange(len(rows)) * BAR_MS, opened, high, low, close, np.ones(len(rows)))


def store(market: Market, rows, start_ms: int, price: str = candles.LAST) -> int:
    candles.ingest(market, bars(market, rows, start_ms), provenance="file", price=price)
    return start_ms + len(rows) * BAR_MS


def enter(account, market, side: int = 1, price: float = 3000.0) -> tuple[Position, int]:
    """A position opened at the close of a flat bar; returns it and the open of the next bar."""
    now = store(market, [(price, price + 1, price - 1, price)], START_MS)
    plan = EntryPlan(
        price, price * (1 - 0.02 * side), price * (1 + 0.02 * side), price * (1 + 0.04 * side), price * (1 + 0.06 * side), price * 0.015,
        48 * 3_600_000, now, (0.3, 0.4, 0.3),
    )  # fmt: skip
    order = execution.submit(
        account, market=market, side="buy" if side > 0 else "sell", origin="signal:1", plan=plan, risk_profile="medium"
    )
    order.refresh_from_db()
    assert order.state == "filled", order.reason
    return Position.objects.get(), now


def money_is_exact(account) -> bool:
    account.refresh_from_db()
    entries = LedgerEntry.objects.filter(account=account).values_list("amount", flat=True)
    realised = sum((p.realised_pnl - p.fees + p.funding for p in Position.objects.filter(account=account)), Decimal(1000))
    return account.balance == sum(entries, Decimal(0)) == realised


def test_it_takes_the_ladder_and_books_maker_fills(account, market):
    position, now = enter(account, market)
    store(market, [(3000, 3070, 2990, 3065), (3065, 3130, 3060, 3125), (3125, 3190, 3120, 3185)], now)
    positions.on_bar(market.pk)
    position.refresh_from_db()
    assert (position.status, position.exit_reason, position.tps_hit) == ("closed", "tp3", 3)
    sells = list(Fill.objects.filter(side="sell").order_by("pk").values_list("reason", "price", "qty", "liquidity"))
    opened = position.qty_opened
    assert [row[:2] for row in sells] == [("tp1", Decimal(3060)), ("tp2", Decimal(3120)), ("tp3", Decimal(3180))]
    assert {row[3] for row in sells} == {"maker"}
    assert sum(row[2] for row in sells) == opened
    assert money_is_exact(account)


def test_it_leaves_at_the_stop_with_slippage_and_at_the_open_after_a_gap(account, market):
    position, now = enter(account, market)
    store(market, [(2930, 2935, 2900, 2910)], now)
    positions.on_bar(market.pk)
    fill = Fill.objects.get(side="sell")
    assert (fill.reason, fill.liquidity) == ("stop", "taker")
    assert fill.price == Decimal("2929.12")  # the open, 2930, less 3 bps
    position.refresh_from_db()
    assert position.closed_at == clock.from_ms(now)
    assert money_is_exact(account)


def test_it_changes_nothing_when_the_same_bars_come_again(account, market):
    _, now = enter(account, market)
    store(market, [(3000, 3070, 2990, 3065)], now)
    positions.on_bar(market.pk)
    before = (Fill.objects.count(), Order.objects.count(), TradingAccount.objects.get().balance, Position.objects.get().version)
    positions.on_bar(market.pk)
    assert positions.waiting() == []
    sweep_positions()
    assert before == (Fill.objects.count(), Order.objects.count(), TradingAccount.objects.get().balance, Position.objects.get().version)


def test_it_finds_the_bars_that_a_lost_message_left(account, market):
    position, now = enter(account, market)
    assert positions.waiting() == []
    store(market, [(3000, 3001, 2900, 2950)], now)
    assert positions.waiting() == [market.pk]
    sweep_positions()
    position.refresh_from_db()
    assert (position.exit_reason, positions.waiting()) == ("stop", [])


def test_it_closes_at_the_open_after_48_hours(account, market):
    position, now = enter(account, market)
    store(market, [(3000, 3001, 2999, 3000)] * (48 * 4 + 1), now)
    positions.on_bar(market.pk)
    position.refresh_from_db()
    assert position.exit_reason == "time"
    assert position.closed_at == clock.from_ms(now + 48 * 3_600_000)


def test_it_pays_stored_funding_once_per_boundary_for_what_is_held_then(account, market):
    for hour, rate in ((0, 0.0001), (8, 0.0004), (16, -0.0002)):
        FundingRate.objects.create(market=market, timestamp=START_MS + hour * 3_600_000, rate=rate)
    position, now = enter(account, market)
    until = START_MS + 16 * 3_600_000 + BAR_MS
    store(market, [(3000, 3001, 2999, 3000)] * ((until - now) // BAR_MS), now)
    positions.on_bar(market.pk)
    positions.on_bar(market.pk)
    entries = list(LedgerEntry.objects.filter(kind="funding").order_by("at").values_list("amount", flat=True))
    notional = position.qty_opened * 3000
    assert entries == [-notional * Decimal("0.0004"), notional * Decimal("0.0002")]
    assert money_is_exact(account)


def test_it_pays_funding_at_the_mark_price_where_it_is_stored(account, market):
    for hour in (0, 8, 16):
        FundingRate.objects.create(market=market, timestamp=START_MS + hour * 3_600_000, rate=0.0004)
    position, now = enter(account, market)
    until = START_MS + 16 * 3_600_000 + BAR_MS
    store(market, [(3000, 3001, 2999, 3000)] * ((until - now) // BAR_MS), now)
    store(market, [(2950, 3001, 2940, 3000)], START_MS + 8 * 3_600_000, price=candles.MARK)
    positions.on_bar(market.pk)
    entries = list(LedgerEntry.objects.filter(kind="funding").order_by("at").values_list("amount", flat=True))
    assert entries == [-position.qty_opened * price * Decimal("0.0004") for price in (2950, 3000)]
    assert money_is_exact(account)


def test_it_accrues_the_default_rate_where_a_pair_has_no_funding_history(account, market):
    position, now = enter(account, market, side=-1)
    store(market, [(3000, 3001, 2999, 3000)] * 8, now)
    positions.on_bar(market.pk)
    entries = list(LedgerEntry.objects.filter(kind="funding").values_list("amount", flat=True))
    assert len(entries) == 2  # two full hours
    assert all(amount == -position.qty_opened * 3000 * Decimal("0.0001") for amount in entries)


def test_it_marks_between_bars_and_never_backwards(account, market):
    position, now = enter(account, market)
    assert positions.mark(market.pk, 3030.0, now + 60_000) == 1
    assert positions.mark(market.pk, 2900.0, now + 59_000) == 0
    position.refresh_from_db()
    assert (position.mark_price, position.marked_at) == (Decimal(3030), clock.from_ms(now + 60_000))
    assert paper_accounts.equity(account) == account.balance + (Decimal(3030) - position.entry_price) * position.qty


def test_it_keeps_a_mark_that_is_newer_than_the_bar(account, market):
    position, now = enter(account, market)
    positions.mark(market.pk, 3033.0, now + BAR_MS + 1)
    store(market, [(3000, 3001, 2999, 3000)], now)
    positions.on_bar(market.pk)
    position.refresh_from_db()
    assert (position.mark_price, position.last_bar_ms) == (Decimal(3033), now)


def test_it_marks_every_open_position_as_it_sweeps(account, market):
    _, now = enter(account, market)
    streams.publish_tick(streams.Tick(market.pk, market.symbol, 3012.5, now + 1, "replay"))
    sweep_positions()
    assert Position.objects.get().mark_price == Decimal("3012.5")


@pytest.mark.parametrize(("symbol", "sells"), [("AVAX/USDT:USDT", ["tp2", "tp3"]), ("SOL/USDT", ["tp3"])])
def test_it_merges_a_slice_that_is_too_small_into_the_next(alice, symbol, sells):
    """Two coins in whole coins: TP1's 0.6 leaves with TP2. On the spot market 30 % of 7 USDT is below the venue's minimum of 5."""
    market = candles.find_market(symbol)
    alice.profile.simulation_capital = Decimal(100) if symbol.startswith("AVAX") else Decimal(75)
    alice.profile.save()
    account = paper_accounts.open_for(alice)
    position, now = enter(account, market, price=30.0)
    store(market, [(30, 30.7, 29.9, 30.6), (30.6, 31.3, 30.6, 31.2), (31.2, 31.9, 31.2, 31.8)], now)
    positions.on_bar(market.pk)
    position.refresh_from_db()
    rows = list(Fill.objects.filter(side="sell").order_by("pk").values_list("reason", "qty"))
    assert [reason for reason, _ in rows] == sells
    assert sum(qty for _, qty in rows) == position.qty_opened
    assert (position.tps_hit, position.exit_reason) == (3, "tp3")


def walk(seed: int, n: int) -> list[tuple[float, float, float, float]]:
    rng = np.random.default_rng(seed)
    close = 3000 * np.exp(np.cumsum(rng.normal(0, 0.006, n)))
    opened = np.concatenate(([3000.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.003, n))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.003, n))
    return [tuple(round(float(x), 2) for x in row) for row in zip(opened, high, low, close, strict=True)]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("seed", range(6))
def test_it_leaves_exactly_where_a_plain_loop_over_the_exit_logic_does(account, market, seed, side):
    position, now = enter(account, market, side=side)
    rows = walk(seed, 200)
    plan = ExitPlan(
        side, float(position.entry_price), float(position.initial_stop), float(position.tp1), float(position.tp2), float(position.tp3),
        0.3, 0.4, 0.3, float(position.trail_distance), float(position.liquidation_price), clock.to_ms(position.expires_at),
    )  # fmt: skip
    state, expected = exits.opening_state(plan), []
    for number, row in enumerate(rows):
        state, count, *fills = exits.step(plan, state, now + number * BAR_MS, *row)
        expected += [(now + number * BAR_MS, exits.REASONS[fill.reason], fill.price) for fill in fills[:count]]
        if state.remaining <= 0:
            break
    for number, row in enumerate(rows):  # as they arrive, one at a time
        store(market, [row], now + number * BAR_MS)
        positions.on_bar(market.pk)
    got = list(Fill.objects.filter(order__reduce_only=True).order_by("pk"))
    assert [(clock.to_ms(fill.at), fill.reason) for fill in got] == [row[:2] for row in expected]
    for fill, (_, reason, price) in zip(got, expected, strict=True):
        slipped = price if reason.startswith("tp") else price * (1 - 0.0003 * side)
        assert float(fill.price) == pytest.approx(slipped, abs=0.0051)
    assert sum(fill.qty for fill in got) == position.qty_opened
    assert money_is_exact(account)
