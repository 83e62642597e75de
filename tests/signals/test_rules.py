"""Rule strategies: hand-made crosses, a plain slow telling of each rule, and that no bar knows a later one."""

from itertools import pairwise
from math import fsum
from statistics import fmean, pstdev

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from signals import rules
from signals.rules import bollinger, decisions, donchian, histories, macd, rsi, sma_cross

EQUAL = histories.EQUAL


def sides_of(slug, close, rows, *, high=None, low=None):
    """[{row: side}] of each parameter row."""
    close = np.array(close, float)
    high, low = close if high is None else np.array(high, float), close if low is None else np.array(low, float)
    found = decisions.decide(rules.rule(slug), high, low, close, rows)
    return [dict(zip(found.rows[a:b].tolist(), found.sides[a:b].tolist(), strict=True)) for a, b in pairwise(found.offsets.tolist())]


# --- by hand


def test_it_crosses_when_the_fast_average_comes_over_and_under_the_slow_one() -> None:
    close = [10, 10, 10, 10, 13, 13, 10, 8]
    # fast of rows 2..7: 10 10 11.5 13 11.5 9; slow: 10 10 11 12 12 10.33
    assert sides_of("sma-cross", close, [(2, 3)]) == [{4: 1, 6: -1}]


def test_it_calls_the_first_known_averages_no_cross() -> None:
    assert sides_of("sma-cross", [1, 2, 3, 4, 5, 6], [(2, 3)]) == [{}]
    assert sides_of("sma-cross", [1, 2], [(2, 3)]) == [{}]
    assert sides_of("sma-cross", [], [(2, 3), (3, 4)]) == [{}, {}]


def test_it_sees_no_cross_in_a_market_that_stands_still() -> None:
    close = np.concatenate([np.linspace(100.1, 20_000.3, 400), np.full(3000, 20_000.3), np.full(500, 20_000.4)])
    assert sides_of("sma-cross", close, [(7, 31)]) == [{3400: 1}]


def test_it_breaks_out_of_the_channel_once() -> None:
    #        channel of the 2 bars before: 12..9, 12..9, 13..9, 15..9, 16..11, 16..11
    high, low, close = [12, 11, 12, 13, 15, 16, 12, 11, 9], [9, 10, 9, 9, 11, 14, 11, 8, 7], [10, 10, 11, 12.5, 14, 15.5, 11, 9, 8]
    assert sides_of("donchian-breakout", close, [(2, 0.0)], high=high, low=low) == [{3: 1, 7: -1}]
    # 5 % beyond 12 are 12.6, which the close of row 3 misses; 5 % under 11 are 10.45, which the close of row 7 does not
    assert sides_of("donchian-breakout", close, [(2, 5.0)], high=high, low=low) == [{4: 1, 7: -1}]


def test_it_takes_the_index_of_wilders_recursion() -> None:
    # changes +2 -1 | -1 +3: averages 1 and 0.5, then 0.5 and 0.75, then 1.75 and 0.375
    found = rsi.index(np.array([10.0, 12.0, 11.0, 10.0, 13.0]), 2)
    assert np.isnan(found[:2]).all()
    assert found[2:] == pytest.approx([100 * 1 / 1.5, 100 * 0.5 / 1.25, 100 * 1.75 / 2.125])
    assert rsi.index(np.full(5, 3.0), 2)[2:].tolist() == [50.0, 50.0, 50.0]


def test_it_buys_when_the_index_is_back_from_the_bottom() -> None:
    # indices from row 2: 66.7, 40, 82.4
    close = [10, 12, 11, 10, 13]
    assert sides_of("rsi-reversion", close, [(2, 41, 90), (2, 40, 90), (2, 10, 60)]) == [{4: 1}, {}, {3: -1}]


def test_it_comes_back_into_the_band() -> None:
    # mean and deviation of 3: row 3 (10, 10, 7): 9, 1.41; row 4 (10, 7, 9): 8.67, 1.25; row 5 (7, 9, 12): 9.33, 2.05; row 6: (9, 12, 11): 10.67, 1.25
    close = [10, 10, 10, 7, 9, 12, 11]
    assert sides_of("bollinger-reversion", close, [(3, 1.0)]) == [{4: 1, 6: -1}]
    assert sides_of("bollinger-reversion", close, [(3, 1.4), (3, 1.42)]) == [{4: 1}, {}]


def test_it_crosses_when_the_difference_of_averages_comes_over_and_under_its_own() -> None:
    # fast (2, weight 2/3) from row 2: 10 10 12 10.67 8.22; slow (3, weight 1/2): 10 10 11.5 10.75 8.88; line: 0 0 0.5 -0.08 -0.65
    # signal (2, weight 2/3) from row 3: 0 0.33 0.06 -0.42; line less signal: 0 0.17 -0.14 -0.24
    assert sides_of("macd-cross", [10, 10, 10, 10, 13, 10, 7], [(2, 3, 2)]) == [{4: 1, 5: -1}]
    assert sides_of("macd-cross", [10, 13, 10], [(2, 3, 2)]) == [{}]


@pytest.mark.parametrize(("fast", "slow", "signal"), [(12, 26, 9), (2, 3, 2), (5, 40, 20)])
def test_its_line_and_signal_are_those_of_ta_lib(fast, slow, signal) -> None:
    close = 100 + np.cumsum(np.random.default_rng(9).normal(0, 1, 400))
    known, mean, _ = talib.MACD(close, fast, slow, signal)
    line = macd.line(close, fast, slow)
    seen = slice(slow + signal - 2, None)
    assert line[seen] == pytest.approx(known[seen], abs=1e-9)
    assert macd.average(line, signal, slow - 1)[seen] == pytest.approx(mean[seen], abs=1e-9)
    assert np.isnan(line[: slow - 1]).all()


def test_it_sees_no_cross_of_averages_in_a_market_that_stands_still() -> None:
    close = np.concatenate([np.full(500, 20_000.3), np.full(5_000, 20_000.4)])
    first, *later = sides_of("macd-cross", close, [(12, 26, 9)])[0].items()
    assert first == (500, 1)
    assert [side for _, side in later] == [-1]  # the line comes back to 0 under its average, and both end there


def test_it_begins_anew_after_a_price_that_is_not_a_number() -> None:
    close = [10, 10, 10, 10, 13, 13, 10, 8]
    broken = [*close[:4], np.nan, *close]
    assert sides_of("sma-cross", broken, [(2, 3)]) == [{9: 1, 11: -1}]
    assert histories.unbroken.py_func(np.ones(3), np.ones(3), np.array([np.inf, 1.0, 1.0])).tolist() == [[1, 3]]


# --- a plain telling of each rule: one bar, all that was known then


def side_sma(close, t, fast, slow):
    if t + 1 < slow:
        return None
    one, other = fmean(close[t + 1 - fast : t + 1]), fmean(close[t + 1 - slow : t + 1])
    return 0 if abs(one - other) <= EQUAL * abs(other) else (1 if one > other else -1)


def plain_sma(high, low, close, fast, slow):
    known = [side_sma(close, t, fast, slow) for t in range(len(close))]
    return {t: now for t, (before, now) in enumerate(pairwise(known), 1) if before is not None and now and now != before}


def plain_donchian(high, low, close, period, margin):
    def outside(t):
        if t < period:
            return None
        if close[t] > max(high[t - period : t]) * (1 + margin / 100):
            return 1
        return -1 if close[t] < min(low[t - period : t]) * (1 - margin / 100) else 0

    known = [outside(t) for t in range(len(close))]
    return {t: now for t, (before, now) in enumerate(pairwise(known), 1) if before is not None and now and now != before}


def plain_rsi(high, low, close, period, oversold, overbought):
    changes = [now - before for before, now in pairwise(close)]
    known: list[float | None] = [None] * len(close)
    for t in range(period, len(close)):
        gain = fsum(max(change, 0.0) for change in changes[:period]) / period
        loss = fsum(max(-change, 0.0) for change in changes[:period]) / period
        for change in changes[period:t]:
            gain, loss = (gain * (period - 1) + max(change, 0.0)) / period, (loss * (period - 1) + max(-change, 0.0)) / period
        known[t] = 50.0 if gain + loss == 0.0 else 100.0 - 100.0 / (1.0 + gain / loss) if loss else 100.0
    found = {}
    for t, (before, now) in enumerate(pairwise(known), 1):
        if before is not None and now is not None:
            if before < oversold <= now:
                found[t] = 1
            elif before > overbought >= now:
                found[t] = -1
    return found


def plain_bollinger(high, low, close, period, deviations):
    def outside(t):
        window = close[t + 1 - period : t + 1]
        mean, reach = fmean(window), deviations * pstdev(window)
        away, least = close[t] - mean, EQUAL * abs(mean)
        return 1 if away > reach + least else (-1 if away < -reach - least else 0)

    known = [0 if t + 1 < period else outside(t) for t in range(len(close))]
    return {t: -before for t, (before, now) in enumerate(pairwise(known), 1) if before and not now}


def plain_macd(high, low, close, fast, slow, signal):
    def averages(x, period, first):
        known = {first + period - 1: fmean(x[first : first + period])} if len(x) >= first + period else {}
        for t in range(first + period, len(x)):
            known[t] = known[t - 1] * (period - 1) / (period + 1) + x[t] * 2 / (period + 1)
        return known

    quick, slack = averages(close, fast, slow - fast), averages(close, slow, 0)
    line = {t: quick[t] - slack[t] for t in slack}
    mean = averages([line.get(t, 0.0) for t in range(len(close))], signal, slow - 1)
    known = [
        None if t not in mean else (0 if abs(line[t] - mean[t]) <= EQUAL * close[t] else (1 if line[t] > mean[t] else -1))
        for t in range(len(close))
    ]
    return {t: now for t, (before, now) in enumerate(pairwise(known), 1) if before is not None and now and now != before}


PLAIN = {
    "sma-cross": plain_sma,
    "macd-cross": plain_macd,
    "donchian-breakout": plain_donchian,
    "rsi-reversion": plain_rsi,
    "bollinger-reversion": plain_bollinger,
}
LEAVES = {"sma-cross": sma_cross, "macd-cross": macd, "donchian-breakout": donchian, "rsi-reversion": rsi, "bollinger-reversion": bollinger}
# Levels and widths that no tie of round prices meets exactly: there the two tellings may round to different sides.
ROWS = {
    "sma-cross": [(2, 3), (2, 7), (3, 7), (5, 20)],
    "macd-cross": [(2, 3, 2), (2, 7, 3), (3, 7, 5), (12, 26, 9)],
    "donchian-breakout": [(2, 0.0), (2, 0.313), (5, 0.0), (12, 0.1)],
    "rsi-reversion": [(2, 30.0123, 70.0123), (5, 20.0123, 60.0123), (5, 45.0123, 55.0123), (14, 30.0123, 70.0123)],
    "bollinger-reversion": [(3, 1.0123), (3, 1.3123), (10, 2.0123), (20, 1.0123)],
}


@st.composite
def markets(draw):
    """high, low, close of up to 80 bars with prices on a grid of cents, flat stretches among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, calm = draw(st.integers(0, 80)), draw(st.sampled_from([0.0, 0.3, 0.8]))
    steps = np.where(rng.random(n) < calm, 0, rng.integers(-150, 151, n))
    close = 10_000 + np.cumsum(steps)
    high, low = close + rng.integers(0, 60, n), close - rng.integers(0, 60, n)
    return high / 100.0, low / 100.0, close / 100.0


@pytest.mark.parametrize("slug", PLAIN)
@given(market=markets())
@settings(max_examples=60)
def test_it_decides_as_the_plain_telling_does(slug, market) -> None:
    high, low, close = market
    found = sides_of(slug, close, ROWS[slug], high=high, low=low)
    lists = [column.tolist() for column in market]
    assert found == [PLAIN[slug](*lists, *row) for row in ROWS[slug]]


@pytest.mark.parametrize("slug", PLAIN)
@given(market=markets(), noise=st.integers(0, 2**32), share=st.floats(0, 1))
@settings(max_examples=40)
def test_it_knows_nothing_of_later_bars(slug, market, noise, share) -> None:
    cut = int(share * market[2].size)
    whole = sides_of(slug, market[2], ROWS[slug], high=market[0], low=market[1])
    upto = [{row: side for row, side in found.items() if row < cut} for found in whole]
    shorter = sides_of(slug, market[2][:cut], ROWS[slug], high=market[0][:cut], low=market[1][:cut])
    other = np.random.default_rng(noise).uniform(1, 1000, (3, market[2].size))
    other[:, :cut] = np.array(market)[:, :cut]
    mixed = sides_of(slug, other[2], ROWS[slug], high=other[0], low=other[1])
    assert shorter == upto
    assert [{row: side for row, side in found.items() if row < cut} for found in mixed] == upto


@pytest.mark.parametrize("slug", PLAIN)
def test_it_decides_the_same_without_the_compiler(slug, monkeypatch) -> None:
    rng = np.random.default_rng(3)
    close = 100 + np.cumsum(rng.normal(0, 1, 150))
    high, low = close + 0.5, close - 0.5
    rows, n = np.array(ROWS[slug]), close.size
    runs = np.array([[0, 70], [75, n]])
    whole, plain = (np.zeros(len(rows) * n, np.int32) for _ in range(2))
    counts, plain_counts = (np.zeros(len(rows), np.int64) for _ in range(2))
    leaf = LEAVES[slug]
    leaf.fill(high, low, close, runs, rows, whole, counts)
    for name, value in list(vars(leaf).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(leaf, name, value.py_func)
    leaf.fill(high, low, close, runs, rows, plain, plain_counts)
    assert counts.sum() > 3
    assert (counts.tolist(), whole.tolist()) == (plain_counts.tolist(), plain.tolist())


def test_it_gives_one_combination_what_it_gives_many() -> None:
    rng = np.random.default_rng(4)
    close = 100 + np.cumsum(rng.normal(0, 1, 500))
    grid = [(fast, slow) for fast in range(2, 20) for slow in range(20, 40, 3)]  # several chunks
    together = sides_of("sma-cross", close, grid)
    assert together == [sides_of("sma-cross", close, [row])[0] for row in grid]
    one = decisions.decide(rules.rule("sma-cross"), close, close, close, grid, threads=1)
    three = decisions.decide(rules.rule("sma-cross"), close, close, close, grid, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(one, three, strict=True))


# --- parameters


def test_it_takes_parameters_in_its_own_order_and_fills_up_defaults() -> None:
    known = rules.rule("sma-cross")
    assert known.parse({"slow": "100"}) == {"fast": 20, "slow": 100}
    assert known.rows([{"slow": 9, "fast": 3}]) == [[3.0, 9.0]]
    assert rules.rule("donchian-breakout").parse({"margin": 0.5}) == {"period": 55, "margin": 0.5}
    assert not known.fits({"fast": 50, "slow": 50})


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"fast": 50, "slow": 50}, "fast", "fewer bars than the slow one"),
        ({"fast": 2.5}, "fast", "not a whole number"),
        ({"fast": "many"}, "fast", "not a whole number"),
        ({"fast": True}, "fast", "not a whole number"),
        ({"slow": 100_000}, "slow", "choose one from 3 to 1000"),
        ({"slow": float("nan")}, "slow", "not a whole number"),
        ({"speed": 1}, "speed", "it has fast, slow"),
    ],
)
def test_it_says_which_parameter_cannot_be_used(given, field, words) -> None:
    with pytest.raises(rules.UnfitParameter, match=words) as caught:
        rules.rule("sma-cross").parse(given)
    assert caught.value.field == field


def test_it_lists_the_strategies_it_knows() -> None:
    with pytest.raises(rules.UnknownRule, match="sma-cross, macd-cross, donchian-breakout, rsi-reversion, bollinger-reversion"):
        rules.rule("moon")


@pytest.mark.parametrize("slug", rules.STRATEGIES)
def test_its_defaults_are_allowed(slug) -> None:
    known = rules.rule(slug)
    assert known.parse(known.defaults) == known.defaults
