"""What holds for any market: the kernel does what a slow, independent telling of the rules does, and its books always balance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting import kernel
from exchanges import exits
from tests.backtesting.oracle import Oracle
from tests.backtesting.tables import BAR_MS, START_MS, make_rules, make_specs, random_market, random_series

SEEDS = st.integers(0, 1_000_000)


def simulate_both(bars, entries, specs, rules):
    markets, plans = [], {}
    rate, cost = np.zeros(bars.at.shape[0]), np.zeros(bars.at.shape[0])
    rate[bars.due["row"]], cost[bars.due["row"]] = bars.due["rate"], bars.due["cost"]
    rank = dict(zip(entries.row.tolist(), entries.rank.tolist(), strict=True))
    side = dict(zip(entries.row.tolist(), entries.side.tolist(), strict=True))
    for symbol in range(len(specs)):
        market = []
        for row in range(bars.first[symbol], bars.first[symbol + 1]):
            bar, number = bars.rows[row], int((bars.times[bars.at[row]] - START_MS) // BAR_MS)
            market.append((number, float(bar.open), float(bar.high), float(bar.low), float(bar.close), rate[row], cost[row]))
            if row in side:
                away, close, unit = side[row], float(bar.close), float(entries.unit[row])
                stop, *targets = (close + away * far * unit for far in (-rules.stop, rules.tp1, rules.tp2, rules.tp3))
                plans[symbol, number] = (away, stop, *targets, rules.trail * unit, rank[row])
        markets.append(market)
    return kernel.simulate(bars, entries, specs, rules), Oracle(START_MS, markets, plans, specs, rules).run()


@settings(max_examples=60)
@given(
    seed=SEEDS,
    symbols=st.integers(1, 4),
    max_open=st.integers(1, 4),
    risk_pct=st.sampled_from([0.5, 2.0, 8.0]),
    max_margin_pct=st.sampled_from([5.0, 10.0, 60.0]),
    hold_bars=st.integers(1, 40),
    step=st.sampled_from([1e-5, 0.01, 1.0]),
    min_notional=st.sampled_from([0.0, 100.0, 400.0]),
    maintenance=st.sampled_from([0.0, 0.005, 0.08]),
    limits=st.sampled_from([(10.0, 25.0), (2.0, 5.0), (1e9, 1e9)]),
)
def test_it_does_what_the_independent_telling_does(
    seed, symbols, max_open, risk_pct, max_margin_pct, hold_bars, step, min_notional, maintenance, limits
):
    rng = np.random.default_rng(seed)
    lengths, offsets = rng.integers(20, 200, symbols).tolist(), rng.integers(0, 60, symbols).tolist()
    bars, entries = random_market(rng, lengths, offsets=offsets, gaps=0.03)
    specs = make_specs(symbols, step=step, min_notional=min_notional, maintenance=maintenance)
    rules = make_rules(
        max_open=max_open, risk_pct=risk_pct, max_margin_pct=max_margin_pct, max_hold_ms=hold_bars * BAR_MS, slippage=0.0003,
        stop_cost_pct=0.2, max_daily_loss_pct=limits[0], max_drawdown_pct=limits[1],
    )  # fmt: skip
    result, oracle = simulate_both(bars, entries, specs, rules)
    trades, told = result.trades, oracle.trades
    number = (bars.timestamp - START_MS) // BAR_MS
    assert trades.symbol.tolist() == [held.symbol for held, _, _ in told]
    assert trades.side.tolist() == [held.side for held, _, _ in told]
    assert number[trades.entered].tolist() == [held.entered for held, _, _ in told]
    assert number[trades.left].tolist() == [left for _, left, _ in told]
    assert [exits.REASONS[code] for code in trades.reason.tolist()] == [reason for _, _, reason in told]
    assert trades.tps.tolist() == [held.hit for held, _, _ in told]
    assert trades.leverage.tolist() == [held.leverage for held, _, _ in told]
    for name in ("qty", "entry", "fees", "funding"):
        assert getattr(trades, name) == pytest.approx([getattr(held, name) for held, _, _ in told], rel=1e-9, abs=1e-9), name
    assert trades.pnl == pytest.approx([held.pnl - held.fees + held.funding for held, _, _ in told], rel=1e-9, abs=1e-9)
    assert trades.exit == pytest.approx([sum(q * price for q, price in held.fills) / held.qty for held, _, _ in told])
    assert result.equity == pytest.approx(oracle.curve, rel=1e-9, abs=1e-9)
    assert result.refused == oracle.refused


@settings(max_examples=25)
@given(SEEDS)
def test_it_accounts_for_every_unit_and_never_fills_early(seed):
    bars, entries = random_market(np.random.default_rng(seed), [300, 250])
    result = kernel.simulate(bars, entries, make_specs(2), make_rules(slippage=0.0003))
    trades = result.trades
    assert trades.pnl.shape[0] > 0
    assert result.balance == pytest.approx(1000 + trades.pnl.sum(), abs=1e-9)
    assert result.equity[-1] == result.balance
    assert (bars.timestamp[trades.entered] == bars.timestamp[trades.decided] + BAR_MS).all()
    assert (trades.left >= trades.entered).all()
    assert (bars.symbol[trades.entered] == trades.symbol).all()
    gross = (trades.exit - trades.entry) * trades.qty * trades.side
    assert trades.pnl == pytest.approx(gross - trades.fees + trades.funding, abs=1e-9)
    # Fees by hand: taker in, maker or taker out, of what was paid and got.
    most = (trades.entry + trades.exit) * trades.qty * 0.0005
    assert (trades.fees <= most + 1e-9).all()
    assert (trades.fees >= trades.entry * trades.qty * 0.0005 + trades.exit * trades.qty * 0.0002 - 1e-9).all()
    assert result.signals == trades.pnl.shape[0] + sum(result.refused.values())


@settings(max_examples=15)
@given(SEEDS, st.integers(100, 290))
def test_it_changes_no_earlier_trade_when_the_future_is_cut_off(seed, kept):
    rng = np.random.default_rng(seed)
    series = [random_series(rng, 300, price=100.0 * (s + 1)) for s in range(2)]
    side = np.where(rng.random(600) < 0.15, rng.choice([-1, 1], 600), 0).astype(np.int8)
    unit, rank = np.repeat([1.0, 2.0], 300) * rng.uniform(0.5, 2, 600), rng.random(600)

    def simulated(size):
        rows = np.concatenate((np.arange(size), 300 + np.arange(size)))
        bars = kernel.join([cut(each, size) for each in series])
        entries = kernel.entries_of(bars, side[rows], unit[rows], rank[rows])
        return bars, kernel.simulate(bars, entries, make_specs(2), make_rules(slippage=0.0003))

    def cut(each, size):
        due = each.due_row < size
        parts = (column[due] for column in each[8:12])
        return kernel.Series(*(column[:size] for column in each[:6]), each.mark_high, each.mark_low, *parts)

    (whole_bars, whole), (part_bars, part) = simulated(300), simulated(kept)
    is_done = part.trades.reason != exits.END_OF_DATA
    ended = (whole_bars.at[whole.trades.left] < kept) & (whole.trades.reason != exits.END_OF_DATA)
    for name in ("decided", "entered", "left"):
        assert (
            part_bars.timestamp[getattr(part.trades, name)][is_done].tolist()
            == whole_bars.timestamp[getattr(whole.trades, name)][ended].tolist()
        )
    for name in ("symbol", "side", "entry", "exit", "qty", "leverage", "tps", "reason", "fees", "slippage", "funding", "pnl"):
        assert getattr(part.trades, name)[is_done].tolist() == getattr(whole.trades, name)[ended].tolist(), name
    assert part.equity[:-1].tolist() == whole.equity[: kept - 1].tolist()
