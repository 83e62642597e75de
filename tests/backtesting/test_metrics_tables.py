"""Tables by calendar and by group against numbers worked out by hand."""

import numpy as np
import pytest

from backtesting import metrics

DAY = metrics.DAY_MS
NOVEMBER_15, JANUARY_1 = 1_731_628_800_000, 1_735_689_600_000  # 2024, 2025, midnight UTC


def test_it_compounds_months_to_years():
    times = np.array([NOVEMBER_15, NOVEMBER_15 + DAY, JANUARY_1 - 1, JANUARY_1, JANUARY_1 + 31 * DAY])
    first, second = metrics.monthly(times, np.array([105.0, 110.0, 99.0, 108.9, 163.35]), 100.0)
    assert (first.year, first.months[:10], second.year, second.months[2:]) == (2024, (None,) * 10, 2025, (None,) * 10)
    assert first.months[10:] == pytest.approx((10.0, -10.0))
    assert first.total == pytest.approx(-1.0)
    assert second.months[:2] == pytest.approx((10.0, 50.0))
    assert second.total == pytest.approx(65.0)
    assert metrics.monthly(times[:0], np.zeros(0), 100.0) == []


def test_a_month_without_a_bar_stands_still_and_a_lost_account_loses_all_once():
    times = JANUARY_1 + np.array([0, 70, 100, 130]) * DAY  # January, March, April, May
    (year,) = metrics.monthly(times, np.array([110.0, 121.0, -5.0, 7.0]), 100.0)
    assert year.months[:5] == pytest.approx((10.0, 0.0, 10.0, -100.0, 0.0))
    assert year.total == -100.0


def test_it_counts_trades_by_their_key():
    pnl, notional = np.array([4.0, -2.0, 6.0, 2.0]), np.array([100.0, 200.0, 100.0, 50.0])
    btc, eth = metrics.breakdown(["BTC", "ETH", "BTC", "ETH"], pnl, notional)
    assert btc == ("BTC", 2, 10.0, 1.0, 5.0, 1.0)
    assert eth == ("ETH", 2, 0.0, 0.5, 1.5, 0.0)
    assert metrics.best_share([eth, btc]) == ("BTC", 1.0)
    lost = metrics.breakdown(["BTC"], np.array([-4.0]), np.array([100.0]))
    assert lost[0].share is None
    assert metrics.best_share(lost) is None
    assert metrics.breakdown([], np.zeros(0), np.zeros(0)) == []
    assert metrics.breakdown(["BTC"], np.array([0.0]), np.array([100.0]))[0].won == 0.0


def test_it_says_on_how_few_profits_rest():
    assert metrics.concentration(np.array([5.0, 5.0, -3.0, 0.0])) == 0.5
    assert metrics.concentration(np.array([3.0, 1.0])) == 0.625
    assert metrics.concentration(np.array([-1.0])) is None


def test_it_reads_the_hour_the_weekday_and_the_month_in_utc():
    moments = np.array([0, NOVEMBER_15 + 13 * metrics.HOUR_MS + 1, JANUARY_1 - 1])
    assert metrics.hour_of(moments).tolist() == [0, 13, 23]
    assert [metrics.WEEKDAYS[day] for day in metrics.weekday_of(moments)] == ["Thursday", "Friday", "Tuesday"]
    assert metrics.month_of(moments) == ["1970-01", "2024-11", "2024-12"]
