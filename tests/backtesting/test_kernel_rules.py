"""The simulation's rarer rules on tables worked out by hand: limit orders, reversals, joint notional, margins."""

import numpy as np
import pytest

from backtesting import kernel
from backtesting.kernel.books import liquidated_at, to_tick
from backtesting.kernel.entering import are_side_by_side
from backtesting.kernel.types import specs_rows
from exchanges import exits
from tests.backtesting.drawn import TIERS
from tests.backtesting.tables import FREE, make_bars, make_rules, make_series, make_specs, run

LONG, SHORT = 1, -1
FLAT = (100.0, 100.5, 99.5, 100.0)


def reasons(result):
    return [exits.REASONS[int(reason)] for reason in result.trades.reason]


def test_it_never_pays_more_than_a_limit_that_the_open_has_reached():
    """The limit is 99.8; the market opens at 99.7 and 0.2 % of slippage would make it 99.8994."""
    bars = make_bars([FLAT, (99.7, 100.5, 99.5, 100.0)])
    result = run(bars, {0: LONG}, specs=make_specs(slippage=0.002), rules=make_rules(limit_offset=0.2))
    assert result.trades.entry.tolist() == pytest.approx([99.8])
    assert result.trades.slippage[0] == pytest.approx(result.trades.qty[0] * (0.1 + 100 * 0.002))
    cheap = run(bars, {0: SHORT}, specs=make_specs(slippage=0.0005), rules=make_rules(limit_offset=-0.2))
    assert cheap.trades.entry.tolist() == pytest.approx([99.7 * 0.9995])  # no limit: to market


def test_it_fills_a_limit_inside_the_bar_only_when_the_price_trades_through_it():
    touch, through = (100.0, 100.5, 99.5, 100.0), (100.0, 103.0, 99.4, 100.0)
    result = run(make_bars([FLAT, touch, through, FLAT]), {0: LONG}, specs=make_specs(), rules=make_rules(limit_offset=0.5, limit_bars=2))
    trade = result.trades
    assert (trade.entered.tolist(), trade.entry.tolist()) == ([2], [99.5])
    assert trade.tps.tolist() == [0]  # the high of 103 may have been before the fill
    # The margin of 100 allows 1,000 of notional at ten times; maker in, taker out at the close of 100.
    assert trade.qty[0] == pytest.approx(10.05)
    assert trade.fees[0] == pytest.approx(trade.qty[0] * (99.5 * 0.0002 + 100 * 0.0005))


def test_it_stops_a_limit_order_in_the_bar_that_filled_it():
    result = run(make_bars([FLAT, (100.0, 103.0, 97.0, 100.0), FLAT]), {0: LONG}, rules=make_rules(limit_offset=0.5))
    assert (reasons(result), result.trades.exit.tolist()) == (["stop"], [98.0])


def test_it_gives_up_a_limit_that_its_price_never_reached_and_frees_its_place():
    bars = make_bars([FLAT] * 5)
    result = run(bars, {0: LONG, 1: LONG, 3: LONG}, rules=make_rules(limit_offset=0.7, limit_bars=2, signal_bars=0))
    assert result.trades.pnl.shape == (0,)
    assert result.refused == {"unfilled": 2, "position": 1}  # the last one waits for the only bar that is left
    assert result.balance == 1000.0


def test_it_gives_up_a_limit_whose_bars_were_missing():
    """Good for two bars; the second is missing, and the third is too late although it trades through the limit."""
    late = (100.0, 100.5, 98.5, 100.0)
    result = run(make_bars([FLAT, FLAT, late, FLAT], times=[0, 1, 3, 4]), {0: LONG}, rules=make_rules(limit_offset=0.7, limit_bars=2))
    assert result.refused == {"unfilled": 1}
    in_time = run(make_bars([FLAT, FLAT, late, FLAT], times=[0, 1, 3, 4]), {0: LONG}, rules=make_rules(limit_offset=0.7, limit_bars=3))
    assert in_time.trades.entered.tolist() == [2]


def test_it_reverses_at_the_open():
    rows = [FLAT, FLAT, FLAT, (100.2, 100.5, 99.5, 100.0)]
    result = run(make_bars(rows, funding=[0, 0, 0, 0.001]), {0: LONG, 2: SHORT}, rules=make_rules(opposite=kernel.REVERSE))
    assert reasons(result) == ["opposite", "end_of_data"]
    assert result.trades.left.tolist() == [3, 3]
    assert result.trades.exit.tolist() == [100.2, 100.0]
    assert result.trades.funding.tolist() == pytest.approx([-10 * 100.2 * 0.001, 0.0])  # the long held over the boundary, the short did not


def test_it_counts_an_order_that_a_reversal_gives_up():
    result = run(make_bars([FLAT] * 4), {0: LONG, 1: SHORT}, rules=make_rules(opposite=kernel.REVERSE, limit_offset=0.7, limit_bars=5))
    assert (result.signals, result.refused) == (2, {"unfilled": 2})


def test_it_liquidates_a_position_whose_reversal_opens_beyond_its_liquidation_price():
    """Leverage 20 and 0.5 % to keep: (100 - 5) / 0.995 = 95.48; the next open is 95.2."""
    rows = [FLAT, FLAT, (95.2, 95.5, 95.0, 95.2)]
    rules = make_rules(
        opposite=kernel.REVERSE, sizing=kernel.BY_NOTIONAL, notional_pct=20.0, max_margin_pct=1.0, max_leverage=20, stop=9.0, tp1=9.0
    )
    result = run(make_bars(rows), {0: LONG, 1: SHORT}, rules=rules)
    assert reasons(result) == ["liquidation", "end_of_data"]
    assert result.trades.exit[0] == pytest.approx(95 / 0.995)


def test_it_refuses_a_margin_under_what_the_venue_asks_to_keep():
    """A tenth of the notional is put in and 12 % would have to be kept: the position would be liquidated above its entry, at a gain."""
    result = run(make_bars([FLAT, FLAT]), {0: LONG}, specs=make_specs(maintenance=0.12, **FREE))
    assert (result.trades.pnl.shape, result.refused) == ((0,), {"margin": 1})


def test_it_limits_what_moves_together_by_what_is_still_open():
    """The first position of 1,000 has sold 70 % at two targets when the second of 1,000 comes: 3 coins at 104.5 and
    1,035.50, all of its equity, are 130.3 % of it."""
    climb = [FLAT, (100.0, 104.6, 99.5, 104.5), (104.5, 104.6, 104.0, 104.5)]
    bars = kernel.join([make_series(climb), make_series([FLAT] * 3)])
    entries = {0: LONG, 4: LONG}
    for most, refused in ((131.0, {}), (130.0, {"correlation": 1})):
        result = run(bars, entries, rules=make_rules(max_joint_pct=most, max_margin_pct=60.0))
        assert result.refused == refused
        assert result.trades.symbol.shape[0] == 2 - len(refused)


@pytest.mark.parametrize("look", [pytest.param(are_side_by_side, id="compiled"), pytest.param(are_side_by_side.py_func, id="plain")])
def test_series_with_holes_at_different_places_are_not_side_by_side(look):
    """Both have four bars from the first moment to the last, and the second one lacks another one in between."""
    whole, holed, other = [0, 1, 2, 3, 4], [0, 1, 3, 4], [0, 2, 3, 4]
    bars = kernel.join([make_series([FLAT] * len(times), times=times) for times in (whole, holed, other, holed)])
    ends = [int(last) - 1 for last in bars.first[1:]]
    assert look(bars.rows, ends[1], ends[3], 3)
    assert not look(bars.rows, ends[1], ends[2], 3)
    assert look(bars.rows, ends[1], ends[2], 1)
    assert not look(bars.rows, ends[0], ends[1], 3)


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_correlation_that_is_not_known_counts_the_whole_notional_whichever_the_sides(side):
    """Three bars are no correlation over 2,880: 1,000 beside 1,000 is twice the equity, the second a hedge or not."""
    bars = kernel.join([make_series([FLAT] * 3), make_series([FLAT] * 3)])
    for most, refused in ((201.0, {}), (199.0, {"correlation": 1})):
        result = run(bars, {0: LONG, 4: side}, rules=make_rules(max_joint_pct=most, max_margin_pct=60.0))
        assert result.refused == refused


def test_each_symbol_slips_and_is_sized_by_its_own_costs():
    """2 % of 1,000 at risk over a stop 2 % away: 1,000 without costs, 500 where a losing round trip costs 1.5 % and an hour of 50 another 0.01 %."""
    bars = kernel.join([make_series([FLAT] * 3), make_series([FLAT] * 3)])
    cheap = make_specs(**FREE)[0]
    dear = cheap._replace(slippage=0.001, stop_cost_pct=1.5, hold_cost_pct=0.01)
    rules = make_rules(max_margin_pct=60.0, max_hold_ms=50 * 3_600_000)
    trades = run(bars, {0: LONG, 3: LONG}, specs=[cheap, dear], rules=rules).trades
    assert trades.entry.tolist() == pytest.approx([100.0, 100.1])
    assert trades.qty.tolist() == pytest.approx([10.0, 5.0])
    assert trades.slippage.tolist() == pytest.approx([0.0, 5.0 * (0.1 + 0.1)])


def test_it_calls_ambiguous_only_what_it_had_to_assume():
    both = (100.0, 103.0, 97.0, 100.0)
    assert run(make_bars([FLAT, both]), {0: LONG}).trades.is_ambiguous.tolist() == [1]
    gap = (97.5, 103.0, 97.0, 100.0)  # opened beyond the stop at 98
    assert run(make_bars([FLAT, FLAT, gap]), {0: LONG}).trades.is_ambiguous.tolist() == [0]
    late = run(make_bars([FLAT, FLAT, both]), {0: LONG}, rules=make_rules(max_hold_ms=900_000))
    assert (reasons(late), late.trades.is_ambiguous.tolist()) == (["time"], [0])


@pytest.mark.parametrize("to_tick", [pytest.param(to_tick, id="compiled"), pytest.param(to_tick.py_func, id="plain")])
def test_it_keeps_prices_on_ticks_as_a_venue_writes_them(to_tick):
    """973 * 0.1 is 97.30000000000001: a low of 97.3 would touch a long's stop there and a high of 97.3 not a short's."""
    for steps in range(1, 20_001):
        assert to_tick(steps / 10, 0.1) == steps / 10
        assert to_tick(steps / 20, 0.05) == steps / 20
        assert to_tick(steps / 10**8, 1e-8) == steps / 10**8
    assert (to_tick(97.26, 0.1), to_tick(97.24, 0.25), to_tick(0.04, 0.1), to_tick(12.4, 5.0), to_tick(97.26, 0.0)) == (
        97.3,
        97.25,
        0.1,
        10.0,
        97.26,
    )
    assert to_tick(1.0001, 0.0003) == pytest.approx(1.0002)  # a tick that divides nothing


def test_it_is_stopped_by_a_touch_of_a_stop_on_the_tick():
    rows = [(97.0, 97.2, 96.9, 97.0), (97.0, 97.2, 96.9, 97.0), (97.0, 97.3, 96.9, 97.1)]
    result = run(make_bars(rows), {0: (SHORT, 0.15)}, specs=make_specs(tick=0.1, **FREE))
    assert (reasons(result), result.trades.stop.tolist(), result.trades.exit.tolist()) == (["stop"], [97.3], [97.3])


@pytest.mark.parametrize("liquidated_at", [pytest.param(liquidated_at, id="compiled"), pytest.param(liquidated_at.py_func, id="plain")])
@pytest.mark.parametrize(
    ("side", "qty", "expected"),
    [
        (1, 6.0, 90 / 0.995),  # 600 at entry, 543 there: the first tier
        (1, 7.5, 90 / 0.995),  # 750 at entry, 678 there: back in the first tier; the second one's answer would be 90.41
        (1, 9.0, (90 - 10.5 / 9) / 0.98),
        (-1, 6.0, 110 / 1.005),  # 600 at entry, 657 there
        (-1, 6.8, (110 + 10.5 / 6.8) / 1.02),  # 680 at entry, 744 there: on into the second tier
        (-1, 14.0, (110 + 70.5 / 14.0) / 1.06),  # 1,400 at entry, 1,519 there: the third
    ],
)
def test_it_takes_the_tier_of_the_notional_at_the_liquidation_price(liquidated_at, side, qty, expected):
    specs, tiers = (each.view(np.recarray) for each in specs_rows(make_specs(tiers=TIERS)))
    assert liquidated_at(specs[0], tiers, side, 100.0, qty, 10) == pytest.approx(expected)


def test_it_ends_where_tiers_leave_a_step_between_them():
    """Without deductions a short of 6.3 is in the second tier by the first one's answer (690) and in the first by the second one's (660)."""
    specs, tiers = (each.view(np.recarray) for each in specs_rows(make_specs(tiers=(kernel.Tier(0.0, 0.005), kernel.Tier(680.0, 0.05)))))
    found = liquidated_at(specs[0], tiers, -1, 100.0, 6.3, 10)
    assert found in (pytest.approx(110 / 1.005), pytest.approx(110 / 1.05))


@pytest.mark.parametrize("fee", [0.001, 0.0125])
@pytest.mark.parametrize("opposite", [kernel.KEEP, kernel.REVERSE])
def test_a_liquidation_takes_no_more_than_the_margin(fee, opposite):
    """20 times geared at 100: of 5 a coin 0.5 % of 95.477 is left at the liquidation price, less than a fee of 1.25 % of it."""
    rows = [(100.0, 100.4, 99.6, 100.0)] * 2 + [(90.0, 90.5, 89.5, 90.0)] * 2
    rules = make_rules(
        sizing=kernel.BY_NOTIONAL, notional_pct=2000.0, max_margin_pct=100.0, max_leverage=20, stop=50.0, tp1=60.0, tp2=70.0, tp3=80.0,
        opposite=opposite,
    )  # fmt: skip
    result = run(make_bars(rows), {0: LONG, 1: SHORT}, specs=make_specs(liquidation_fee=fee, **FREE), rules=rules)
    assert reasons(result)[0] == "liquidation"
    left = 95.0 / 0.995 * (0.005 - fee) / 5.0
    assert result.trades.pnl[0] == pytest.approx(-1000.0 * (1.0 - max(0.0, left)))
    assert min(result.equity) >= -1e-9
