"""What holds for any market: the kernel does what a slow, independent telling of the rules does, and its books always balance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting import kernel
from exchanges import exits
from tests.backtesting.oracle import Oracle
from tests.backtesting.tables import BAR_MS, START_MS, make_rules, make_specs, random_market

SEEDS = st.integers(0, 1_000_000)


def simulate_both(bars, candidates, specs, rules):
    number = ((bars.timestamp - START_MS) // BAR_MS).tolist()
    markets = [[] for _ in range(specs.step_size.shape[0])]
    plans = {}
    columns = (bars.open, bars.high, bars.low, bars.close, bars.funding_rate, bars.funding_cost)
    for row, symbol in enumerate(bars.symbol.tolist()):
        markets[symbol].append((number[row], *(float(column[row]) for column in columns)))
        if candidates.side[row]:
            plans[symbol, number[row]] = (int(candidates.side[row]), *(float(column[row]) for column in candidates[1:7]))
    return kernel.simulate(bars, candidates, specs, rules), Oracle(START_MS, markets, plans, specs, rules).run()


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
    bars, candidates = random_market(rng, lengths, offsets=offsets, gaps=0.03)
    specs = make_specs(symbols, step=step, min_notional=min_notional, maintenance=maintenance)
    rules = make_rules(
        max_open=max_open, risk_pct=risk_pct, max_margin_pct=max_margin_pct, max_hold_ms=hold_bars * BAR_MS, slippage=0.0003,
        stop_cost_pct=0.2, max_daily_loss_pct=limits[0], max_drawdown_pct=limits[1],
    )  # fmt: skip
    result, oracle = simulate_both(bars, candidates, specs, rules)
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
    bars, candidates = random_market(np.random.default_rng(seed), [300, 250])
    result = kernel.simulate(bars, candidates, make_specs(2), make_rules(slippage=0.0003))
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
@given(SEEDS, st.integers(100, 500))
def test_it_changes_no_earlier_trade_when_the_future_is_cut_off(seed, kept):
    bars, candidates = random_market(np.random.default_rng(seed), [300, 300])
    kept -= kept % 2  # both symbols to the same bar

    def cut(columns):
        return type(columns)(*(column[:kept] for column in columns))

    whole = kernel.simulate(bars, candidates, make_specs(2), make_rules(slippage=0.0003))
    part = kernel.simulate(cut(bars), cut(candidates), make_specs(2), make_rules(slippage=0.0003))
    is_done, ended = part.trades.reason != kernel.END_OF_DATA, whole.trades.left < kept
    ended &= whole.trades.reason != kernel.END_OF_DATA
    for name in kernel.Trades._fields:
        assert getattr(part.trades, name)[is_done].tolist() == getattr(whole.trades, name)[ended].tolist(), name
    assert part.equity[:-1].tolist() == whole.equity[: part.equity.shape[0] - 1].tolist()


def scene():
    """A market of two, its books, and the first bar that follows a long candidate of symbol 0."""
    bars, candidates = random_market(np.random.default_rng(3), [60, 60])
    candidates.side[:] = 0
    decided = int(np.flatnonzero(bars.symbol == 0)[5])
    close = bars.close[decided]
    candidates.side[decided] = 1
    for column, factor in zip(candidates[1:6], (0.97, 1.03, 1.05, 1.08, 0.02), strict=True):
        column[decided] = close * factor
    return bars, candidates, int(np.flatnonzero(bars.before == decided)[0])


def run_leaves(pick):
    """One position from entry to exit through the leaves; `pick` chooses compiled or plain."""
    bars, candidates, row = scene()
    specs, rules = make_specs(2), make_rules(slippage=0.0003)
    book, accounts, trades = kernel.new_book(2), kernel.new_account(1000.0), np.zeros(1, kernel.TRADE_ROW).view(np.recarray)
    account, p = accounts[0], book[0]
    seen = [pick(kernel._enter)(book, account, bars, candidates, specs, rules, row)]
    seen += [pick(kernel._equity)(book, account), pick(kernel._free_margin)(book, account)]
    seen += [pick(kernel._account_refusal)(account, equity, rules) for equity in (1000.0, 890.0, 740.0, 0.0)]
    bars.funding_rate[row + 1], bars.funding_cost[row + 1] = 0.001, 0.0002
    for paid in (row, row + 1):
        pick(kernel._pay_funding)(p, account, bars, paid)
    ms, c = int(bars.timestamp[row]), float(p.entry)
    seen.append(pick(kernel._carry)(p, account, ms, c, float(p.tp1) * 1.001, c * 0.999, c * 1.02, specs, rules, 0))
    seen.append(pick(kernel._carry)(p, account, ms + BAR_MS, c, c * 1.001, c * 0.9, c * 0.95, specs, rules, 0))
    pick(kernel._record)(trades[0], p, account, 0, row + 2, seen[-1])
    p.signal_side, p.signal_ms, p.signal_stop, p.signal_tp1 = 1, ms, 97.0, 103.0
    seen += [pick(kernel._is_signal)(p, side, ms + wait * BAR_MS, rules) for side in (1, -1) for wait in (3, 4)]
    seen += [pick(kernel._signal_ends)(p, high, low) for high, low in ((102.9, 97.1), (103.0, 98.0), (100.0, 97.0))]
    return [float(value) for value in seen], trades[0].tolist(), accounts[0].tolist()


def test_its_leaves_are_the_same_uncompiled():
    compiled, plain = run_leaves(lambda leaf: leaf), run_leaves(lambda leaf: leaf.py_func)
    assert compiled == plain
    seen, trade, _ = plain
    assert seen[0] == kernel.ENTERED
    assert seen[3:7] == [0, kernel.DAILY_LOSS, kernel.DAILY_LOSS, kernel.EQUITY]
    assert seen[7:9] == [0, exits.TRAIL]
    assert seen[-7:] == [0, 1, 1, 1, 0, 1, 1]
    assert trade[kernel.Trades._fields.index("reason")] == exits.TRAIL
