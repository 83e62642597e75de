"""The accounting of another engine's backtests on real candles (isolated perpetuals, 15m), trade by trade to 1e-6 of a dollar.

Every trade is a simulation of its own: entered at the listed open with the listed amount, left by the time stop at the listed open or by a
resting target at the listed price. Funding falls due on the mark price at each boundary. The other engine charges a position that is opened at
a boundary for that boundary; here nobody who enters at a boundary has held over it, and that one payment is the only difference.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from backtesting import kernel
from exchanges import exits

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR_MS = 900_000
pytestmark = pytest.mark.skipif(not (DATA / "reference").is_dir(), reason="the reference trades are not beside this checkout")


class Market(NamedTuple):
    """Candles as columns, and what fell due: {ms: (rate, mark price)}."""

    candles: dict[str, np.ndarray]
    due: dict[int, tuple[float, float]]


class Listed(NamedTuple):
    """A trade of the list; times are opens of bars, fees fractions."""

    side: int
    amount: float
    leverage: float
    opened: int
    closed: int
    entry: float
    exit: float
    fee: float
    funding: float
    profit: float
    reason: str


def columns(name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(DATA / name)
    return {column: table[column].to_numpy() for column in table.column_names}


def market_of(base: str) -> Market:
    funding, mark = columns(f"{base}-USDT_funding.parquet"), columns(f"{base}-USDT_mark_1h.parquet")
    price = dict(zip(mark["timestamp"].tolist(), mark["open"].tolist(), strict=True))
    rates = zip(funding["timestamp"].tolist(), funding["rate"].tolist(), strict=True)
    return Market(columns(f"{base}-USDT_15m.parquet"), {ms: (rate, price[ms]) for ms, rate in rates if ms in price})


def listed(name: str) -> list[Listed]:
    rows: list[dict[str, Any]] = pq.read_table(DATA / "reference" / name).to_pylist()
    assert all(row["fee_open"] == row["fee_close"] for row in rows)
    return [
        Listed(
            -1 if row["is_short"] else 1, row["amount"], row["leverage"], row["open_timestamp"], row["close_timestamp"], row["open_rate"],
            row["close_rate"], row["fee_open"], row["funding_fees"], row["profit_abs"], row["exit_reason"],
        )
        for row in rows
    ]  # fmt: skip


def rule_for(trade: Listed, candles: dict[str, np.ndarray], first: int, last: int) -> str:
    """By which rule of ours the trade leaves: "time" at the open, "tp1" at a price that its last bar was the first to trade through; "" by none."""
    if candles["open"][last] == trade.exit:
        return "time"
    best = candles["high"] if trade.side > 0 else -candles["low"]
    was_reached = (best[first:last] > trade.side * trade.exit).any()
    return "tp1" if best[last] > trade.side * trade.exit and not was_reached else ""


def simulated(trade: Listed, market: Market) -> tuple[kernel.Result, str]:
    """The trade in the kernel, and the rule it leaves by. One without a rule finds its listed price at the open of its last bar."""
    stamps = market.candles["timestamp"]
    first, last = (int(np.searchsorted(stamps, ms)) for ms in (trade.opened, trade.closed))
    assert (stamps[first], stamps[last]) == (trade.opened, trade.closed)
    rule = rule_for(trade, market.candles, first, last)
    span = slice(first - 1, last + 1)
    opened, high, low, close, volume = (market.candles[name][span].copy() for name in ("open", "high", "low", "close", "volume"))
    if not rule:
        opened[-1] = trade.exit
    due = [(row, *market.due[ms]) for row, ms in enumerate(stamps[span].tolist()) if ms in market.due]
    rows, rates, prices = (
        (np.array(column) for column in zip(*due, strict=True)) if due else (np.empty(0, np.int64), np.empty(0), np.empty(0))
    )
    bars = kernel.join(
        [
            kernel.Series(
                stamps[span].astype(np.int64),
                opened,
                high,
                low,
                close,
                volume,
                due_row=rows,
                due_price=prices,
                due_rate=rates,
                due_cost=0 * rates,
            )
        ]
    )
    side = np.zeros(opened.size, np.int8)
    side[0] = trade.side
    step, reference = 0.001, close[0]
    far = 100.0 * reference
    rules = kernel.Rules(
        capital=(trade.amount + step / 2) * reference / trade.leverage, sizing=kernel.BY_NOTIONAL, notional_pct=100.0 * trade.leverage,
        max_margin_pct=100.0, stop=0.99 * reference, tp1=trade.side * (trade.exit - reference) if rule == "tp1" else far, tp2=far, tp3=far,
        share1=1.0, share2=0.0, share3=0.0, max_hold_ms=trade.closed - trade.opened if rule != "tp1" else 10**12, bar_ms=BAR_MS,
    )  # fmt: skip
    spec = kernel.Spec(step, 0.0, 0.0, 10, trade.fee, trade.fee, 0.0, (kernel.Tier(0.0, 0.005),))
    return kernel.simulate(bars, kernel.entries_of(bars, side, np.ones(opened.size)), [spec], rules), rule


@pytest.mark.parametrize(
    ("name", "base", "by_rule", "at_a_boundary", "profit", "funding"),
    [
        ("freqtrade_ETH-USDT_15m_leveraged_trades.parquet", "ETH", {"time": 77}, 2, 28.41074450, 0.23031861),
        ("freqtrade_SOL-USDT_15m_trades.parquet", "SOL", {"time": 176, "tp1": 64, "": 74}, 8, -150.88670551, -22.14337139),
    ],
)
def test_it_books_trades_as_another_engine_did(name, base, by_rule, at_a_boundary, profit, funding):
    """74 of the long list left at a limit that came nearer with time, which no rule here does: their last bar opens at the listed price."""
    market, found, entered_at_boundary, trades = market_of(base), {}, 0, listed(name)
    assert sum(trade.profit for trade in trades) == pytest.approx(profit, abs=1e-8)
    assert sum(trade.funding for trade in trades) == pytest.approx(funding, abs=1e-8)
    for trade in trades:
        result, rule = simulated(trade, market)
        found[rule] = found.get(rule, 0) + 1
        booked, stamps = result.trades, market.candles["timestamp"]
        not_held = 0.0
        if trade.opened in market.due:
            rate, price = market.due[trade.opened]
            not_held, entered_at_boundary = -trade.side * trade.amount * rate * price, entered_at_boundary + 1
        assert booked.pnl.shape == (1,)
        assert exits.REASONS[booked.reason[0]] == (rule or "time")
        assert stamps[np.searchsorted(stamps, trade.opened) - 1 + booked.entered[0]] == trade.opened
        assert stamps[np.searchsorted(stamps, trade.opened) - 1 + booked.left[0]] == trade.closed
        assert (booked.side[0], booked.leverage[0]) == (trade.side, np.ceil(trade.leverage - 1e-9))
        assert booked.qty[0] == pytest.approx(trade.amount, abs=1e-9)
        assert booked.entry[0] == trade.entry
        assert booked.exit[0] == pytest.approx(trade.exit, rel=1e-12)
        assert booked.fees[0] == pytest.approx(trade.fee * trade.amount * (trade.entry + trade.exit), abs=1e-9)
        assert booked.funding[0] == pytest.approx(trade.funding - not_held, abs=1e-6)
        assert booked.pnl[0] == pytest.approx(trade.profit - not_held, abs=1e-6)
    assert found == by_rule
    assert entered_at_boundary == at_a_boundary
