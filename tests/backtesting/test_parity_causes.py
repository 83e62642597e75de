"""Each way in which a position that was really managed comes out otherwise than its simulation, and the sentence that names it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from backtesting import parity
from exchanges import candles, execution
from exchanges.models import Candle, Fill, Market, TradingAccount, Venue
from tests.backtesting.lived import BAR_MS, ETH, FALL, LADDER, PLAN, STAIRS, START_MS, bars, live_on, open_long, open_short

pytestmark = pytest.mark.django_db(transaction=True)

SPOT = "ETH/USDT"


def only_line(user) -> parity.Line:
    """The parts of the difference add up to it, whatever they are."""
    lines, left_out = parity.compared(TradingAccount.objects.for_user(user), START_MS, START_MS + 86_400_000)
    assert (len(lines), left_out) == (1, 0)
    assert sum(each.money for each in lines[0].differences) == pytest.approx(lines[0].difference, abs=1e-6)
    return lines[0]


def only_difference(user) -> parity.Difference:
    (difference,) = only_line(user).differences
    return difference


def test_a_ladder_is_told_leg_by_leg_as_it_was_booked(alice):
    open_long(alice)
    live_on(STAIRS[2:])

    line = only_line(alice)

    assert [leg.reason for leg in line.booked.legs] == ["tp1", "tp2", "tp3"]
    assert [leg[:2] for leg in line.simulated.legs] == [leg[:2] for leg in line.booked.legs]
    for mine, theirs in zip(line.simulated.legs, line.booked.legs, strict=True):
        assert mine[2:] == pytest.approx(theirs[2:], abs=1e-8)
    entry_fee = float(Fill.objects.get(reason="entry").fee)
    assert entry_fee + sum(leg.fee for leg in line.simulated.legs) == pytest.approx(line.simulated.fees, abs=1e-8)
    assert line.is_same
    assert line.goes_alike


def test_one_leg_that_came_a_bar_later_is_named_though_the_money_is_the_same(alice):
    open_long(alice)
    live_on(STAIRS[2:])
    late = Fill.objects.get(reason="tp2")
    Fill.objects.filter(pk=late.pk).update(at=late.at + timedelta(minutes=15))

    line = only_line(alice)

    assert "exit: TP2" in line.differences[0].sentence
    assert "at 2040 on 2025-01-01 01:30" in line.differences[0].sentence
    assert "for" in line.differences[0].sentence
    assert "TP1" not in line.differences[0].sentence
    assert "TP3" not in line.differences[0].sentence
    assert line.difference == pytest.approx(0.0, abs=1e-8)
    assert not line.goes_alike


def test_a_leg_of_another_quantity_is_named_with_the_one_that_took_the_rest(alice):
    open_long(alice)
    live_on(STAIRS[2:])
    step = candles.find_market(ETH).step_size
    for reason, moved in (("tp1", step), ("tp3", -step)):
        fill = Fill.objects.get(reason=reason)
        Fill.objects.filter(pk=fill.pk).update(qty=fill.qty + moved)

    told = only_line(alice).differences

    assert any("2 exits: TP1" in each.sentence and "; TP3" in each.sentence for each in told), told


def test_a_short_comes_out_the_same(alice):
    open_short(alice)
    position = live_on(FALL[2:])

    line = only_line(alice)

    assert (position.side, position.exit_reason, position.tps_hit) == ("short", "trail", 1)
    assert line.is_same, line.differences
    assert line.entry_bps == pytest.approx(0.0, abs=1e-9)


def test_the_candles_of_a_short_changed(alice):
    open_short(alice)
    live_on(FALL[2:])
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).update(low=1985.0, close=1990.0)

    found = only_difference(alice)

    assert found.cause == "candles"
    assert "It left by tp1 at 1980 in the bar of 2025-01-01 01:00, which today ranges from 1985 to 2000." in found.sentence
    assert "exits: TP1 " in found.sentence
    assert "on 2025-01-01 01:00, fee" in found.sentence
    assert "at 1980 on 2025-01-01 01:15" in found.sentence, "which is where today's next bar reaches it"


def test_a_spot_position_comes_out_the_same_with_slices_that_wait_for_the_least_order(alice):
    Market.objects.filter(symbol=SPOT).update(min_notional=40)
    open_long(alice, symbol=SPOT)
    position = live_on(STAIRS[2:], symbol=SPOT)

    line = only_line(alice)

    assert position.market.is_cash
    assert position.funding == 0
    assert line.is_same, line.differences
    assert len(line.booked.legs) < 3
    assert [leg.reason for leg in line.booked.legs] == [leg.reason for leg in line.simulated.legs]


def test_levels_lie_elsewhere_on_todays_ticks(alice):
    open_long(alice, plan=replace(PLAN, stop=1960.03, tp1=2020.03, tp2=2040.03, tp3=2060.03))
    live_on([*LADDER[2:4], (2000, 2030, 2000, 2025), (2025, 2025, 2005, 2006)])
    Market.objects.filter(symbol=ETH).update(tick_size=Decimal("0.1"))

    found = only_line(alice).differences

    assert "ticks" in [each.cause for each in found], found
    assert any(each.sentence == "stop, tp1, tp2, tp3 lie elsewhere on today's ticks of 0.1." for each in found)


def test_the_venues_fees_changed(alice):
    open_long(alice)
    live_on(LADDER[2:])
    entry = Fill.objects.get(reason="entry")
    Venue.objects.filter(markets__symbol=ETH).update(taker_bps=10.0)

    line = only_line(alice)

    assert [each.cause for each in line.differences] == ["fees"]
    assert f"entry {float(entry.fee):.4g} for {2 * float(entry.fee):.4g}; trail" in line.differences[0].sentence
    assert "tp1" not in line.differences[0].sentence, "which rested, and paid the maker's"
    assert line.differences[0].money > 0.0


def test_the_real_slippage_of_an_exit_on_a_live_account(alice):
    open_long(alice)
    position = live_on(LADDER[2:])
    TradingAccount.objects.update(environment="live")
    trail = Fill.objects.get(reason="trail")
    worse = trail.price - Decimal(3)
    Fill.objects.filter(pk=trail.pk).update(price=worse)
    type(position).objects.update(realised_pnl=position.realised_pnl - 3 * trail.qty)

    found = [each for each in only_line(alice).differences if each.cause == "exit_price"]

    assert len(found) == 1
    assert f"exit: trailing stop {float(trail.qty):.10g} at {float(worse):.10g}" in found[0].sentence
    assert found[0].money == pytest.approx(-3 * float(trail.qty), rel=1e-3)


def test_a_candle_came_late(alice):
    """The fifth bar was not there when the sixth was managed, and is stored by now: its high is what nobody followed."""
    open_long(alice)
    live_on(LADDER[2:4])
    live_on([(2000, 2001, 1999, 2000)], first=5)
    candles.ingest(candles.find_market(ETH), bars(LADDER[4:5], 4), provenance="file")

    found = only_difference(alice)

    assert found.cause == "candles"
    assert "The best price it followed is 2001; in today's bars that is 2030." in found.sentence
    assert "TP1 did not come, and would have" in found.sentence


@pytest.mark.parametrize(
    ("opens", "why"),
    [
        (None, "the bar after the decision is not stored"),
        (2200.0, "today's next bar opens more than 5 % from the decision's close"),
        (2021.0, "today's next bar opens beyond the stop or the first target"),
    ],
)
def test_an_entry_that_the_simulation_does_not_make(alice, opens, why):
    open_long(alice)
    live_on(LADDER[2:])
    second = Candle.objects.filter(timestamp=START_MS + 2 * BAR_MS)
    if opens is None:
        second.delete()
    else:
        second.update(open=opens, high=max(opens, 2000.0))

    line = only_line(alice)

    assert "not_entered" in [each.cause for each in line.differences]
    assert any(each.sentence == f"The simulation does not enter: {why}." for each in line.differences)
    assert line.simulated is None


def test_a_hand_that_closed_part_of_the_way_is_named_beside_the_exits_that_never_came(alice):
    open_long(alice)
    position = live_on(STAIRS[2:5])
    execution.close_position(position, reason="manual")
    candles.ingest(candles.find_market(ETH), bars(STAIRS[5:], 5), provenance="file")

    sentence = only_difference(alice).sentence

    assert sentence.startswith("Closed by hand at 2025-01-01 01:15")
    assert "3 exits: close by hand came, and would not have" in sentence
    assert "TP2 did not come, and would have" in sentence
    assert "TP3 did not come, and would have" in sentence
