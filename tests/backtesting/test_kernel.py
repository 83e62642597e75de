"""The simulation against tables worked out by hand."""

import numpy as np
import pytest

from backtesting import kernel
from exchanges import exits
from tests.backtesting.tables import BAR_MS, FREE, START_MS, make_bars, make_entries, make_rules, make_series, make_specs, run

LONG, SHORT = 1, -1
FLAT = (100.0, 100.5, 99.5, 100.0)


def reasons(result):
    return [exits.REASONS[int(reason)] for reason in result.trades.reason]


def test_it_fills_at_the_next_open_and_takes_the_ladder():
    bars = make_bars([FLAT, (100.4, 103.0, 100.0, 102.8), (102.8, 105.0, 102.7, 104.8), (104.8, 107.0, 104.7, 106.5)])
    result = run(bars, {0: LONG})
    trade = result.trades
    assert reasons(result) == ["tp3"]
    assert (trade.decided[0], trade.entered[0], trade.left[0], trade.tps[0]) == (0, 1, 3, 3)
    assert trade.entry[0] == 100.4
    # Risk 2 % of 1000 over a stop 2 % away: 1000 of notional at 100, so 10 coins; margin 10 % of 1000 needs 10x.
    assert trade.qty[0] == pytest.approx(10.0)
    assert trade.leverage[0] == 10
    expected = 3 * (102 - 100.4) + 4 * (104 - 100.4) + 3 * (106 - 100.4)
    assert trade.pnl[0] == pytest.approx(expected)
    assert result.balance == pytest.approx(1000 + expected)


def test_it_pays_fees_by_liquidity_and_slips_only_what_takes():
    bars = make_bars([FLAT, (100.0, 102.5, 99.9, 102.0), (102.0, 102.1, 97.0, 97.5)])
    result = run(bars, {0: LONG}, specs=make_specs(slippage=0.0003))
    entry = 100 * 1.0003
    stop = max(102.5 - 1.5, entry)  # trailed from the high of the TP1 bar
    left = stop * (1 - 0.0003)
    fees = 10 * entry * 0.0005 + 3 * 102 * 0.0002 + 7 * left * 0.0005
    trade = result.trades
    assert reasons(result) == ["trail"]
    assert trade.fees[0] == pytest.approx(fees)
    assert trade.pnl[0] == pytest.approx(3 * (102 - entry) + 7 * (left - entry) - fees)


def test_it_skips_an_entry_beyond_stop_or_target():
    for opened in (97.9, 102.1):
        bars = make_bars([FLAT, (opened, 103.0, 97.0, 100.0), FLAT])
        assert run(bars, {0: LONG}, specs=make_specs()).trades.pnl.shape == (0,)


def test_it_does_not_enter_across_a_gap():
    bars = make_bars([FLAT, FLAT, FLAT], times=[0, 2, 3])
    assert run(bars, {0: LONG}, specs=make_specs()).trades.pnl.shape == (0,)


def test_it_can_be_stopped_in_the_bar_of_its_entry():
    bars = make_bars([FLAT, (100.0, 103.0, 97.0, 100.0)])
    result = run(bars, {0: LONG})
    assert reasons(result) == ["stop"]
    assert result.trades.pnl[0] == pytest.approx(-20.0)  # exactly the risk


def test_it_pays_funding_for_what_is_held_and_nothing_in_the_bar_of_its_entry():
    rows = [FLAT, FLAT, FLAT]
    long = run(make_bars(rows, funding=[0, 0.001, 0.002]), {0: LONG})
    assert long.trades.funding[0] == pytest.approx(-10 * 100 * 0.002)
    got = run(make_bars(rows, funding=[0, 0.001, 0.002]), {0: SHORT})
    assert got.trades.funding[0] == pytest.approx(10 * 100 * 0.002)
    cost = run(make_bars(rows, cost=[0, 0.001, 0.002]), {0: SHORT})
    assert cost.trades.funding[0] == pytest.approx(-10 * 100 * 0.002)


def test_it_closes_what_is_left_at_the_last_close_and_says_so():
    bars = make_bars([FLAT, FLAT, (100.0, 101.0, 99.5, 100.8)])
    result = run(bars, {0: LONG})
    assert reasons(result) == ["end_of_data"]
    assert result.equity[-1] == pytest.approx(result.balance) == pytest.approx(1008.0)


def test_it_leaves_at_the_open_after_the_longest_hold():
    bars = make_bars([FLAT] * 6)
    result = run(bars, {0: LONG}, rules=make_rules(max_hold_ms=2 * BAR_MS))
    assert reasons(result) == ["time"]
    assert result.trades.left[0] == 3


def test_it_keeps_one_signal_open_for_its_bars():
    bars = make_bars([FLAT] * 9)
    entries = dict.fromkeys(range(8), LONG)
    result = run(bars, entries, rules=make_rules(max_hold_ms=BAR_MS))
    assert result.trades.decided.tolist() == [0, 4]
    assert (result.signals, result.refused) == (2, {})


def test_it_takes_a_new_signal_once_the_price_has_reached_the_old_ones_stop():
    rows = [FLAT, FLAT, (100.0, 100.5, 98.0, 100.0), FLAT, FLAT]
    result = run(make_bars(rows), {0: LONG, 1: LONG, 2: LONG})
    assert result.trades.decided.tolist() == [0, 2]
    assert result.trades.left.tolist() == [2, 4]


def test_it_lets_a_signal_of_the_other_side_replace_one_but_not_the_position():
    result = run(make_bars([FLAT] * 5), {0: LONG, 1: SHORT, 2: LONG})
    assert result.trades.decided.tolist() == [0]
    assert (result.signals, result.refused) == (3, {"position": 2})


def test_it_gives_the_last_place_to_the_best_expectancy():
    bars = kernel.join([make_series([FLAT] * 2)] * 3)
    entries = {0: (LONG, 1.0, 1.0), 2: (LONG, 1.0, 3.0), 4: (LONG, 1.0, 2.0)}
    result = run(bars, entries, rules=make_rules(max_open=2))
    assert sorted(result.trades.symbol.tolist()) == [1, 2]


CRASH = (100.0, 100.1, 90.0, 90.0)
WIDE = (LONG, 4.75)  # the stop 9.5 below 100
LOW = (90.0, 90.5, 89.5, 90.0)


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ({"risk_pct": 12.0, "max_margin_pct": 100.0}, "daily_loss"),  # the stop takes 12 % on one day
        ({"risk_pct": 12.0, "max_margin_pct": 100.0, "max_daily_loss_pct": 50.0, "max_drawdown_pct": 11.0}, "drawdown"),
    ],
)
def test_it_opens_nothing_at_the_limits_of_loss(rules, word):
    bars = make_bars([FLAT, CRASH, LOW, LOW])
    result = run(bars, {0: WIDE, 2: LONG}, rules=make_rules(**rules))
    assert result.trades.pnl.tolist() == pytest.approx([-119.7], abs=0.5)
    assert result.refused == {word: 1}


def test_it_trades_again_on_the_next_day():
    late = START_MS + kernel.DAY_MS - 2 * BAR_MS
    bars = make_bars([FLAT, CRASH, LOW, LOW], start_ms=late)
    risky = make_rules(risk_pct=12.0, max_margin_pct=100.0)
    result = run(bars, {0: WIDE, 2: LONG}, rules=risky)
    assert result.trades.decided.tolist() == [0, 2]


def test_it_refuses_what_the_venue_would():
    bars, entry = make_bars([FLAT, FLAT]), {0: LONG}
    for specs in (make_specs(min_notional=1000.5, **FREE), make_specs(step=10.5, **FREE)):
        assert run(bars, entry, specs=specs).refused == {"size": 1}
    at_the_minimum = run(bars, entry, specs=make_specs(min_notional=1000.0, **FREE), rules=make_rules())
    assert at_the_minimum.trades.qty.tolist() == pytest.approx([10.0])


def test_it_needs_free_margin():
    """Three positions of 40 % margin each: the third does not fit."""
    bars = kernel.join([make_series([FLAT] * 2)] * 3)
    rules = make_rules(risk_pct=8.0, max_margin_pct=40.0)
    result = run(bars, dict.fromkeys((0, 2, 4), LONG), rules=rules)
    assert result.trades.symbol.tolist() == [0, 1]
    assert result.refused == {"margin": 1}


def test_it_refuses_an_open_far_from_the_reference():
    result = run(make_bars([FLAT, (105.2, 106.0, 105.0, 105.5)]), {0: (LONG, 10.0)})
    assert result.refused == {"deviation": 1}


def test_it_leaves_a_share_below_one_step_to_the_next_exit():
    """One coin at steps of one: 30 % and 40 % of it are nothing, so everything leaves at the third target."""
    bars = make_bars([FLAT, (100.0, 103.0, 100.0, 102.8), (102.8, 107.0, 102.7, 106.5)])
    result = run(bars, {0: LONG}, specs=make_specs(step=1.0, **FREE), rules=make_rules(capital=100.0))
    assert reasons(result) == ["tp3"]
    assert (result.trades.qty[0], result.trades.exit[0], result.trades.pnl[0]) == (1.0, 106.0, 6.0)


def test_it_runs_a_short_down_its_ladder_and_trails_it():
    rows = [FLAT, (100.0, 100.4, 97.5, 97.8), (97.8, 98.2, 95.5, 95.7), (95.7, 97.2, 95.6, 97.0)]
    result = run(make_bars(rows), {0: SHORT})
    assert reasons(result) == ["trail"]
    assert result.trades.tps.tolist() == [2]
    # 3 at 98, 4 at 96, and 3 at the trail 1.5 above the low of 95.5.
    assert result.trades.pnl[0] == pytest.approx(3 * 2 + 4 * 4 + 3 * (100 - 97.0))


def test_it_fills_a_stop_at_the_open_of_a_gap():
    result = run(make_bars([FLAT, FLAT, (96.0, 96.5, 95.0, 96.0)]), {0: LONG})
    assert (reasons(result), result.trades.exit[0]) == (["stop"], 96.0)


def test_it_carries_symbols_whose_histories_begin_and_end_apart():
    later = [(200.0, 200.5, 199.5, 200.0), (200.0, 201.0, 199.5, 200.5), (200.5, 201.0, 200.0, 201.0)]
    bars = kernel.join([make_series([FLAT] * 3), make_series(later, times=[4, 5, 6])])
    result = run(bars, {0: LONG, 3: (LONG, 2.0)})
    assert result.trades.symbol.tolist() == [0, 1]
    assert result.trades.left.tolist() == [2, 5]  # each at the last close of its own history
    assert reasons(result) == ["end_of_data"] * 2
    assert ((result.times - START_MS) // BAR_MS).tolist() == [0, 1, 2, 4, 5, 6]


def test_it_gives_the_place_and_the_margin_of_a_delisted_symbol_to_others():
    bars = kernel.join([make_series([FLAT] * 2), make_series([FLAT] * 4)])
    result = run(bars, {0: LONG, 4: LONG}, rules=make_rules(max_open=1))  # symbol 0 has no bar after its entry
    assert result.trades.symbol.tolist() == [0, 1]
    assert result.trades.left.tolist() == [1, 5]
    assert result.refused == {}
    assert result.equity[-1] == result.balance


def test_it_is_liquidated_before_a_stop_beyond_the_liquidation_price():
    """The sizing never lets that happen; a venue's maintenance margin far above the assumed one can."""
    bars = make_bars([FLAT, (100.0, 100.1, 97.0, 97.5)])
    result = run(bars, {0: LONG}, specs=make_specs(maintenance=0.09, **FREE), rules=make_rules())
    assert reasons(result) == ["liquidation"]
    assert result.trades.exit[0] == pytest.approx(90.0 / 0.91)  # of 1,000 the margin is 100: 900 + 10 P = 9 % of 10 P


def test_it_refuses_arrays_that_disagree():
    bars = make_bars([FLAT, FLAT])
    with pytest.raises(ValueError, match="one value for each bar"):
        kernel.simulate(bars, make_entries(make_bars([FLAT]), {}), make_specs(), make_rules())
    with pytest.raises(ValueError, match="one for each symbol"):
        kernel.simulate(bars, make_entries(bars, {}), make_specs(2), make_rules())
    with pytest.raises(ValueError, match="bars that exist"):
        kernel.simulate(bars, make_entries(bars, {1: LONG})._replace(row=np.array([2])), make_specs(), make_rules())
    three = make_bars([FLAT] * 3)
    for rows in ([1, 0], [1, 1]):
        out_of_order = make_entries(three, {0: LONG, 1: LONG})._replace(row=np.array(rows))
        with pytest.raises(ValueError, match="one a bar, ascending"):
            kernel.simulate(three, out_of_order, make_specs(), make_rules())
    two = kernel.join([make_series([FLAT] * 2)] * 2)
    with pytest.raises(ValueError, match="on its own bars"):
        kernel.simulate(two, make_entries(two, {0: LONG})._replace(row=np.array([2])), make_specs(2), make_rules())
    with pytest.raises(ValueError, match="ordered"):
        make_bars([FLAT, FLAT], times=[1, 0])
    with pytest.raises(ValueError, match="one length"):
        kernel.join([make_series([FLAT, FLAT])._replace(close=np.ones(3))])


def test_it_reproduces_a_reference_trade_to_the_last_digit():
    """Accounting of a long as an independent engine books it: exit*amount*(1-fee) - entry*amount*(1+fee) + funding."""
    entry, left, amount, fee, rate = 3421.5, 3380.0, 2.0, 0.0005, 0.0001
    bars = make_bars([(entry,) * 4, (entry, entry, entry, entry), (entry, entry, left, left)], funding=[0, 0, rate])
    rules = make_rules(capital=amount * (entry - left) / 0.02, max_margin_pct=100.0)
    result = run(bars, {0: (LONG, (entry - left) / 2)}, specs=make_specs(step=1.0, maker=fee, taker=fee), rules=rules)
    assert result.trades.qty[0] == amount
    expected = left * amount * (1 - fee) - entry * amount * (1 + fee) - amount * rate * entry
    assert result.trades.pnl[0] == pytest.approx(expected, rel=1e-12)
