"""What a position did beside what the simulation makes of it: the same, or one cause for each part of the difference."""

import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from backtesting import parity
from exchanges import candles, execution, positions
from exchanges.models import Candle, TradingAccount
from exchanges.ports import FundingFrame
from tests.backtesting.lived import BAR_MS, ETH, LADDER, START_MS, bars, live_on, open_long
from traderai.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = (START_MS, START_MS + 86_400_000)


def only_line(user) -> parity.Line:
    lines, left_out = parity.compared(TradingAccount.objects.for_user(user), *WINDOW)
    assert (len(lines), left_out) == (1, 0)
    line = lines[0]
    assert sum(each.money for each in line.differences) == pytest.approx(line.difference, abs=1e-6)
    return line


def causes(line: parity.Line) -> list[str]:
    return [each.cause for each in line.differences]


def test_it_calls_a_position_the_same_that_lived_through_the_stored_candles(alice):
    open_long(alice)
    position = live_on(LADDER[2:])

    line = only_line(alice)

    assert (position.status, position.exit_reason, position.tps_hit) == ("closed", "trail", 1)
    assert line.is_same, line.differences
    assert line.entry_bps == pytest.approx(0.0, abs=1e-9)
    assert (line.booked.entry, line.simulated.entry) == (2000.6, 2000.6)
    assert line.simulated.left_ms == line.booked.left_ms == START_MS + 5 * BAR_MS
    assert line.simulated.net == pytest.approx(line.booked.net, abs=1e-8)


def test_it_calls_an_open_position_the_same_at_the_newest_bar(alice):
    open_long(alice)
    live_on(LADDER[2:5])

    line = only_line(alice)

    assert (line.position.is_open, line.booked.reason, line.simulated.reason) == (True, "end_of_data", "end_of_data")
    assert line.is_same, line.differences


def test_it_leaves_out_what_no_bar_has_closed_on(alice):
    open_long(alice)

    assert parity.compared(TradingAccount.objects.for_user(alice), *WINDOW) == ([], 1)
    assert parity.summary(alice, *WINDOW) is None


def test_it_says_that_candles_were_changed_when_an_exit_is_not_in_todays_bar(alice):
    open_long(alice)
    position = live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).update(high=2019.0, close=2010.0)

    line = only_line(alice)

    assert causes(line) == ["candles"]
    assert "It left by tp1 at 2020 in the bar of 2025-01-01 01:00, which today ranges from 2000 to 2019." in line.differences[0].sentence
    assert float(position.net_pnl) == pytest.approx(line.booked.net)


def test_it_says_that_a_bar_is_not_stored_any_more(alice):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 4 * BAR_MS).delete()

    line = only_line(alice)

    assert causes(line) == ["candles"]
    assert "The bar of 2025-01-01 01:00, in which it left by tp1, is not stored today." in line.differences[0].sentence


def test_it_does_not_guess_why_a_bar_reaches_a_stop_that_was_passed(alice):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 3 * BAR_MS).update(low=1950.0)

    line = only_line(alice)

    assert causes(line) == ["unexplained"]
    assert line.differences[0].sentence.endswith("Nothing stored says why.")


@pytest.mark.parametrize(("reason", "cause"), [("manual", "hand"), ("flatten", "kill_switch")])
def test_it_says_who_closed_a_position_before_its_plan_did(alice, reason, cause):
    open_long(alice)
    position = live_on(LADDER[2:4])
    execution.close_position(position, reason=reason)
    candles.ingest(candles.find_market(ETH), bars(LADDER[4:], 4), provenance="file")

    line = only_line(alice)

    qty = float(position.qty_opened)
    left = 2000.0 * 0.9997  # the last close, less 3 bps
    hour = 2000.0 * 1e-4  # the default of 1 bp falls due at one o'clock, the moment of the exit
    assert causes(line) == [cause]
    assert line.booked.net == pytest.approx(qty * (left - 2000.6) - qty * (left + 2000.6) * 5e-4 - qty * hour, abs=1e-6)
    assert (line.simulated.reason, line.simulated.tps) == ("trail", 1)


def test_it_says_how_late_a_fill_was_and_how_much_worse(alice):
    """Filled at the fourth bar's close, half an hour after the open it was planned for: 2010 x 1.0003 = 2010.60 for 2000.60. Of the 10 that a
    coin lost so, the default funding of one o'clock comes back (0.20), and the stop at break-even lies 0.60 higher for the 0.7 left at TP1."""
    late = [(2000, 2000, 2000, 2000)] * 3 + [(2000, 2010, 2000, 2010)]
    position = open_long(alice, seen=late)
    live_on([(2010, 2010, 2010, 2010), (2010, 2030, 2010, 2025), (2025, 2025, 2005, 2006)], first=4)

    line = only_line(alice)

    assert float(position.entry_price) == 2010.6
    assert causes(line) == ["late"]
    assert line.entry_bps == pytest.approx(10.0 / 2000.6 * 1e4)
    assert (
        line.differences[0].sentence == "Filled 30 min after the open of the next bar, 50.0 bps worse than the simulated entry at 2000.6."
    )
    assert line.difference == pytest.approx((-10.0 + 0.2 + 0.7 * 0.6) * float(position.qty_opened), rel=1e-3)


def test_it_says_that_a_fill_at_once_was_at_another_price(alice):
    """The next bar opens at 2004, 0.2 % over the close that the fill was made at: 2004.60 for 2000.60."""
    position = open_long(alice)
    live_on([(2004, 2004, 2000, 2000), *LADDER[3:]])

    line = only_line(alice)

    assert causes(line) == ["entry_price"]
    assert line.entry_bps == pytest.approx((2000.6 / 2004.6 - 1.0) * 1e4)
    assert line.difference == pytest.approx(4.0 * float(position.qty_opened), rel=0.01)


def test_it_says_that_funding_was_stored_after_it_was_paid(alice):
    """Without a stored rate every hour pays 1 bp from the eighth hour on, which a rate of 8 bps stored later takes the place of."""
    open_long(alice)
    position = live_on([(2000, 2000, 2000, 2000)] * 40)
    rate = FundingFrame(np.array([START_MS + 8 * 3_600_000]), np.array([8e-4]))
    candles.ingest_funding(candles.find_market(ETH), rate, provenance="file")

    line = only_line(alice)

    qty = float(position.qty_opened)
    assert line.booked.funding == pytest.approx(-10 * 0.2 * qty)  # one o'clock to ten o'clock
    assert line.simulated.funding == pytest.approx(-(8 * 0.2 + 1.6) * qty)  # to eight o'clock, and the rate; the hours after it are covered
    assert causes(line) == ["funding"]
    assert line.differences[0].sentence.startswith("3 funding payments would be of another rate today")
    assert line.differences[0].money == pytest.approx(1.2 * qty)


def test_it_sums_up_by_cause(alice):
    open_long(alice)
    position = live_on(LADDER[2:4])
    execution.close_position(position, reason="manual")
    positions.on_bar(position.market_id)

    found = parity.summary(alice, *WINDOW)

    assert (found.positions, found.same, found.unexplained, found.left_out) == (1, 0, 0, 0)
    assert (found.entry_mean_bps, found.entry_p95_bps) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert list(found.by_cause) == ["hand"]
    assert found.recorded - found.simulated == pytest.approx(found.by_cause["hand"])


def test_it_tells_at_the_command_line_which_positions_differ(alice, capsys):
    open_long(alice)
    position = live_on(LADDER[2:4])
    execution.close_position(position, reason="manual")
    days = (clock.now_ms() - START_MS) // 86_400_000 + 1

    call_command("parity", user="Alice@example.com", days=days)
    told = capsys.readouterr().out
    call_command("parity", user="alice@example.com", days=days, json=True)
    document = json.loads(capsys.readouterr().out)

    assert "1 positions, 0 the same, 0 left out; entries +0.00 bps on average" in " ".join(told.split())
    assert "Closed by hand" in told
    assert (document["positions"], list(document["by_cause"])) == (1, ["hand"])
    assert document["lines"][0]["recorded"]["reason"] == "manual"
    assert document["lines"][0]["differences"][0]["cause"] == "hand"


def test_it_ends_with_an_error_when_something_is_unexplained(alice):
    open_long(alice)
    live_on(LADDER[2:])
    Candle.objects.filter(timestamp=START_MS + 3 * BAR_MS).update(low=1950.0)

    with pytest.raises(CommandError, match="1 of 1 positions differ and nothing stored says why"):
        call_command("parity", user="alice@example.com", days=3650)


@pytest.mark.parametrize(
    ("options", "message"), [({"user": "nobody@example.com"}, "nobody here"), ({"user": "alice@example.com", "days": 0}, "--days: 0")]
)
def test_it_says_what_cannot_be_asked_at_the_command_line(alice, options, message):
    with pytest.raises(CommandError, match=message):
        call_command("parity", **options)
