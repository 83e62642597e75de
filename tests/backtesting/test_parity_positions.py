"""One entry, told twice: the kernel over the whole history, and the live path bar by bar. Same exits, slices, fees, funding and result."""

from decimal import Decimal

import numpy as np
import pytest

from backtesting import arrays, kernel, parity
from backtesting.preparation import Candidates, Prepared
from exchanges import candles, execution, exits, paper_accounts, positions
from exchanges.models import Fill, LedgerEntry, Position
from exchanges.ports import CandleFrame, EntryPlan, FundingFrame
from exchanges.risk import profiles
from signals import strategies
from signals.plan import PlanConfig
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
BAR_MS, HOUR_MS = 900_000, 3_600_000
CAPITAL = 120.0
BARS = 260
STOP, TARGETS, TRAIL = 2.0, (1.2, 2.0, 3.0), 1.2  # in units of 1 % of the price
SCENES = [("ETH/USDT:USDT", 3000.0), ("AVAX/USDT:USDT", 30.0), ("SOL/USDT", 30.0)]
"""Fine steps; whole coins, so that slices merge; a spot market with its minimum for every order."""


def history(rng, symbol: str, price: float) -> CandleFrame:
    """A random walk without gaps in price; some bars are missing, but none around the entry."""
    close = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.005, BARS))), 2)
    opened = np.concatenate(([price], close[:-1]))
    high = np.round(np.maximum(opened, close) * (1 + rng.uniform(0, 0.002, BARS)), 2)
    low = np.round(np.minimum(opened, close) * (1 - rng.uniform(0, 0.002, BARS)), 2)
    kept = (rng.random(BARS) > 0.03) | (np.arange(BARS) < 4)
    columns = (START_MS + np.arange(BARS) * BAR_MS, opened, high, low, close, np.ones(BARS))
    return CandleFrame(symbol, "15m", *(column[kept] for column in columns))


def rates(rng) -> FundingFrame:
    """Boundaries every eight hours from the second on, of which some were lost."""
    at = START_MS + 8 * HOUR_MS * np.arange(2, 10)
    kept = rng.random(8) > 0.3
    return FundingFrame(at[kept], np.round(rng.normal(1e-4, 3e-4, 8), 8)[kept])


def marks_of(rng, frame: CandleFrame) -> CandleFrame:
    """A mark price that opens elsewhere than the last one and goes as far: live positions are liquidated on the last price. Some bars were lost."""
    opened = frame.low + (frame.high - frame.low) * rng.uniform(0, 1, len(frame))
    kept = rng.random(len(frame)) > 0.2
    columns = (frame.timestamp, opened, frame.high, frame.low, frame.close, frame.volume)
    return CandleFrame(frame.symbol, frame.timeframe, *(column[kept] for column in columns))


def told_by_the_kernel(market, frame, funding, side, unit, marks=None) -> kernel.Result:
    n = len(frame)
    wanted, nothing = np.zeros(n, np.int8), np.zeros(n)
    wanted[1] = side
    item = Prepared(market, frame, funding, Candidates(wanted, *[nothing] * 7), np.full(n, unit), {}, marks)
    plan = PlanConfig(stop_atr=STOP, tp1_atr=TARGETS[0], tp2_atr=TARGETS[1], tp3_atr=TARGETS[2], trail_atr=TRAIL)
    rules = arrays.rules(CAPITAL, profiles.profile("medium"), plan)
    return kernel.simulate(*arrays.merge([item]), arrays.specs([market]), rules)


def live_through(account, market, frame, plan, side, rng) -> Position:
    """Submit at the close of the second bar; then the bars arrive some at a time, as after pauses of the workers."""
    candles.ingest(market, frame.slice(0, 2), provenance="file")
    order = execution.submit(
        account, market=market, side="buy" if side > 0 else "sell", origin="signal:1", plan=plan, risk_profile="medium"
    )
    order.refresh_from_db()
    assert order.state == "filled", order.reason
    at = 2
    while at < len(frame):
        following = min(len(frame), at + int(rng.integers(1, 12)))
        candles.ingest(market, frame.slice(at, following), provenance="file")
        positions.on_bar(market.pk)
        at = following
    return Position.objects.get()


@pytest.mark.parametrize("has_marks", [False, True], ids=["last price", "mark price"])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("symbol", "price"), SCENES)
def test_it_lives_through_what_the_kernel_simulates(alice, symbol, price, seed, has_marks):
    rng = np.random.default_rng(seed)
    side = 1 if symbol == "SOL/USDT" or seed % 2 else -1
    market = candles.find_market(symbol)
    frame, funding = history(rng, symbol, price), rates(rng)
    template = strategies.template("ml-ensemble").plan
    reference = float(frame.close[1])
    unit = reference * 0.01
    levels = [reference + side * far * unit for far in (-STOP, *TARGETS)]
    plan = EntryPlan(reference, *levels, TRAIL * unit, template.max_hold_ms, int(frame.timestamp[1]) + BAR_MS, template.shares)
    if symbol != "SOL/USDT":
        candles.ingest_funding(market, funding, provenance="file")
    else:
        funding = FundingFrame(np.empty(0, np.int64), np.empty(0))
    marks = marks_of(rng, frame) if has_marks else None
    if marks:
        candles.ingest(market, marks, provenance="file", price=candles.MARK)
    alice.profile.simulation_capital = Decimal(CAPITAL)
    alice.profile.save()
    account = paper_accounts.open_for(alice)

    result = told_by_the_kernel(market, frame, funding, side, unit, marks)
    trades = result.trades
    position = live_through(account, market, frame, plan, side, rng)

    assert trades.pnl.shape == (1,)
    assert position.status == "closed"
    assert exits.REASONS[int(trades.reason[0])] == position.exit_reason
    assert clock.to_ms(position.closed_at) == frame.timestamp[trades.left[0]]
    assert (int(trades.tps[0]), int(trades.leverage[0])) == (position.tps_hit, position.leverage)
    assert float(position.qty_opened) == pytest.approx(trades.qty[0])
    sold = Fill.objects.filter(order__reduce_only=True)
    value = sum(float(fill.qty * fill.price) for fill in sold)
    last_units = 1e-8  # the ledger keeps ten decimals of each booking
    assert float(position.entry_price) == pytest.approx(trades.entry[0], rel=1e-12)
    assert value == pytest.approx(trades.exit[0] * trades.qty[0], rel=1e-12)
    assert float(position.fees) == pytest.approx(trades.fees[0], abs=last_units)
    assert float(position.funding) == pytest.approx(trades.funding[0], abs=last_units)
    assert float(position.net_pnl) == pytest.approx(trades.pnl[0], abs=last_units)
    account.refresh_from_db()
    assert float(account.balance) == pytest.approx(result.balance, abs=last_units)
    paid = LedgerEntry.objects.filter(kind="funding")
    assert paid.exists() == (symbol != "SOL/USDT" and position.funding != 0)
    (line,), _ = parity.compared([account], START_MS, int(frame.timestamp[-1]))
    assert line.is_same, line.differences
    assert [leg[:2] for leg in line.simulated.legs] == [(fill.reason, clock.to_ms(fill.at)) for fill in sold.order_by("pk")]
    assert sum(leg.qty * leg.price for leg in line.simulated.legs) == pytest.approx(trades.exit[0] * trades.qty[0], rel=1e-12)
