"""A rule's decisions examined again: planted cheats are caught, and rules that look back are left alone."""

import numpy as np
import pytest

from backtesting.honesty import deciding, timing
from backtesting.honesty.deciding import History
from signals import rules
from signals.rules import decisions

BARS, FAST, SLOW = 3_000, 5, 20


def means(close, length):
    """Of the last `length` closes, NaN where one is missing."""
    out = np.full(close.shape[0], np.nan)
    out[length - 1 :] = np.lib.stride_tricks.sliding_window_view(close, length).mean(axis=1)
    return out


def crosses(value):
    """+1 where it comes to be above 0, -1 where it comes to be below."""
    above = np.where(np.isfinite(value), np.sign(value), 0.0)
    change = (above[1:] * above[:-1] < 0) * above[1:]
    return np.concatenate(([0], change)).astype(np.int8)


def honest(high, low, close):
    return crosses(means(close, FAST) - means(close, SLOW))


def later(close, bars):
    """The closes so many bars ahead."""
    return np.append(close[bars:], np.full(bars, np.nan))[: close.shape[0]]


def next_close(high, low, close):
    return crosses(np.append(close[1:], np.nan) - means(close, SLOW))


def centred(high, low, close):
    return crosses(np.append(means(close, SLOW)[SLOW // 2 :], np.full(SLOW // 2, np.nan)) - means(close, SLOW))


def day_later(high, low, close):
    return crosses(later(close, 90) - means(close, SLOW))


def whole_sample(high, low, close):
    return crosses(means(close, FAST) / np.nanmean(close) - 1.0)


def endless(high, low, close):
    """A mean of everything since the first bar: no future in it, but it never warms up."""
    parts = np.split(close, np.flatnonzero(~np.isfinite(close)))
    means = [np.append(np.full(1, np.nan), np.cumsum(part[1:]) / np.arange(1, part.shape[0])) for part in parts if part.shape[0]]
    return crosses(close - np.concatenate(means))


def far_later(high, low, close):
    """Farther ahead than a window goes on."""
    return crosses(later(close, 149) - means(close, SLOW))


def only_in_the_run(high, low, close):
    """Looks ahead where there is no hole, as in a run, and is honest in windows, which are parted by holes."""
    return next_close(high, low, close) if np.isfinite(close).all() else honest(high, low, close)


def prices(seed=3):
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 0.004, BARS)))


def seen(decide, *, markets=1, warm_up=400):
    histories = []
    for seed in range(markets):
        close = prices(seed)
        side = decide(close * 1.001, close * 0.999, close)
        histories.append(History(close * 1.001, close * 0.999, close, side, np.flatnonzero(side)))
    return deciding.examine(decide, histories, longest=SLOW, warm_up=warm_up, seed=0)


def test_a_rule_that_looks_back_passes():
    found = seen(honest, markets=3)
    assert (found.moved_by_cut, found.moved_by_noise, found.unlike) == (0, 0, 0)
    assert found.random == 201
    assert found.cuts == found.random + found.trades > 500
    assert found.compared > 50 * found.cuts
    assert found.warmed == deciding.MOST_WARMED
    assert found.kept[1:] == (200, 200, 200)
    assert found.kept[0] < 200, "the longest window alone does not show the bar before it"


@pytest.mark.parametrize("cheat", [next_close, centred, day_later, whole_sample])
def test_a_rule_that_looks_ahead_is_caught_by_the_cut_and_by_the_noise(cheat):
    found = seen(cheat)
    assert found.moved_by_cut > 0
    assert found.moved_by_noise > 0


@pytest.mark.parametrize("cheat", [far_later, only_in_the_run])
def test_a_rule_that_looks_ahead_where_windows_do_not_show_it_is_caught_by_its_whole_history(cheat):
    found = seen(cheat, markets=2)
    assert (found.moved_by_cut, found.moved_by_noise) == (0, 0)
    assert found.whole == deciding.MOST_WHOLE
    assert found.unlike > 10
    cut, noise, *_ = timing.of_rule(found)
    assert (cut["verdict"], noise["verdict"]) == ("fail", "pass")
    assert f"decided the same at {found.whole - found.unlike} of 12 of them" in cut["detail"]


def test_the_whole_history_begins_with_the_bars_that_a_run_warms_up_on():
    close, early = prices(), 500
    side = endless(close, close, close)[early:]
    history = History(close[early:], close[early:], close[early:], side, np.flatnonzero(side))
    warmed = history._replace(past=(close[:early],) * 3)
    told = [deciding.examine(endless, [each], longest=SLOW, warm_up=400, seed=0).unlike for each in (history, warmed)]
    assert told[0] > 0
    assert told[1] == 0


def test_a_rule_that_never_warms_up_is_caught_by_the_warm_up_alone():
    found = seen(endless)
    assert (found.moved_by_cut, found.moved_by_noise, found.unlike) == (0, 0, 0)
    assert found.kept[-1] < found.warmed


@pytest.mark.parametrize("slug", list(rules.STRATEGIES))
def test_every_rule_of_ours_passes(slug):
    strategy = rules.rule(slug)
    row = strategy.row(strategy.defaults)

    def decide(high, low, close):
        found, side = decisions.decide(strategy, high, low, close, [row]), np.zeros(close.shape[0], np.int8)
        side[found.rows] = found.sides
        return side

    found = seen(decide, warm_up=1_000)
    assert found.trades > 10
    assert (found.moved_by_cut, found.moved_by_noise, found.unlike) == (0, 0, 0)
    assert found.kept[-1] == found.warmed


def test_windows_end_at_their_row_and_hold_no_price_that_does_not_exist():
    close = np.array([10.0, 11.0, 12.0, 13.0])
    history = History(close + 1, close - 1, close, np.zeros(4, np.int8), np.zeros(0, np.int64))
    high, low, got = deciding.windows_of(history, np.array([1, 3]), 3, 1)
    np.testing.assert_array_equal(got, [[np.nan, 10.0, 11.0, 12.0, np.nan], [11.0, 12.0, 13.0, np.nan, np.nan]])
    assert (high[0, 1], low[0, 1]) == (11.0, 9.0)


def test_long_windows_leave_room_for_fewer_trades_but_for_all_random_cuts(monkeypatch):
    monkeypatch.setattr(deciding, "MOST_BARS", 240 * (SLOW + deciding.ROOM + deciding.AFTER + 1))
    found = seen(honest)
    assert (found.random, found.cuts) == (200, 240)
    assert found.trades > 100
