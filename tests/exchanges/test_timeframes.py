import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges import timeframes
from exchanges.ports import CandleFrame
from tests.exchanges.frames import START_MS, make_frame

QUARTER_MS = 900_000


def test_it_builds_an_hour_from_its_four_quarters():
    base = make_frame(8)
    hours = timeframes.aggregate(base, "1h")
    assert hours.timeframe == "1h"
    assert hours.timestamp.tolist() == [START_MS, START_MS + 3_600_000]
    assert hours.open[0] == base.open[0]
    assert hours.close[0] == base.close[3]
    assert hours.high[1] == base.high[4:8].max()
    assert hours.low[1] == base.low[4:8].min()
    assert hours.volume[0] == pytest.approx(base.volume[:4].sum())


def test_it_leaves_out_a_bar_with_a_hole_and_the_one_still_open():
    base = make_frame(11)
    keep = np.arange(11) != 5
    holed = CandleFrame(base.symbol, base.timeframe, *(column[keep] for column in base[2:]))
    assert timeframes.aggregate(holed, "1h").timestamp.tolist() == [START_MS]


def test_it_aggregates_nothing_to_nothing():
    assert len(timeframes.aggregate(make_frame(0), "4h")) == 0


def test_it_refuses_a_frame_that_is_no_multiple():
    with pytest.raises(ValueError, match="cannot be derived from 15m"):
        timeframes.aggregate(make_frame(4), "5m")


@pytest.mark.parametrize("name", ["7m", "", "15M", "1w", None])
def test_it_names_the_known_timeframes_when_asked_for_another(name):
    with pytest.raises(timeframes.UnknownTimeframe, match="use one of 1m, 3m"):
        timeframes.parse(name)


@given(
    offset=st.integers(0, 40),
    count=st.integers(1, 120),
    holes=st.sets(st.integers(0, 119), max_size=6),
    higher=st.sampled_from(["30m", "1h", "4h"]),
)
def test_it_never_shows_a_higher_bar_before_its_close(offset, count, holes, higher):
    full = make_frame(count, start_ms=START_MS + offset * QUARTER_MS)
    keep = np.array([i not in holes for i in range(count)])
    base = CandleFrame(full.symbol, full.timeframe, *(column[keep] for column in full[2:]))
    derived = timeframes.aggregate(base, higher)
    length_ms = timeframes.parse(higher)
    if len(base):
        assert all(open_ms + length_ms <= base.timestamp[-1] + QUARTER_MS for open_ms in derived.timestamp)
    index = timeframes.closed_index(base.timestamp, "15m", derived.timestamp, higher)
    for at, found in zip(base.timestamp, index, strict=True):
        known = derived.timestamp[derived.timestamp + length_ms <= at + QUARTER_MS]
        assert found == len(known) - 1


@given(cut=st.integers(1, 64))
def test_it_gives_the_same_higher_bars_when_the_future_is_cut_off(cut):
    base = make_frame(64)
    whole, early = timeframes.aggregate(base, "1h"), timeframes.aggregate(base.slice(0, cut), "1h")
    n = len(early)
    assert n == cut // 4
    for a, b in zip(early[2:], whole[2:], strict=True):
        assert a.tolist() == b[:n].tolist()


def test_it_finds_the_holes_of_a_series():
    base = make_frame(10).timestamp
    assert timeframes.gaps(base, "15m") == []
    found = timeframes.gaps(base[[0, 1, 4, 5, 9]], "15m")
    assert [(gap.first_ms, gap.last_ms, gap.missing) for gap in found] == [(base[2], base[3], 2), (base[6], base[8], 3)]
