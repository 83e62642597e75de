"""Features know the past only, and know the same live as in batch."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.ports import CandleFrame, FundingFrame
from signals import features
from signals.features import grid
from signals.plan import PlanConfig
from signals.ports import FeatureFrame
from tests.signals.series import HOUR_MS, changed, make_funding, make_series, picked

Compute = Callable[[CandleFrame, FundingFrame, CandleFrame], FeatureFrame]
N = 3_600
ETH = make_series(N, seed=11)
BTC = make_series(N, symbol="BTC/USDT:USDT", seed=12, price=30_000.0)
FUNDING = make_funding(ETH)


def compute_all(frame: CandleFrame, funding: FundingFrame, btc: CandleFrame) -> FeatureFrame:
    return features.compute(frame, funding=funding, btc=btc)


WHOLE = compute_all(ETH, FUNDING, BTC)
SPREAD = dict(zip(WHOLE.names, WHOLE.values[features.WARMUP_BARS :].std(axis=0), strict=True))


def until(funding: FundingFrame, end_ms: int) -> FundingFrame:
    seen = funding.timestamp <= end_ms
    return FundingFrame(funding.timestamp[seen], funding.rate[seen])


def differing(ours: np.ndarray, theirs: np.ndarray, names: tuple[str, ...]) -> list[str]:
    """Names of features that differ by more than a billionth of their size or of their usual spread, or are NaN in one of the two only."""
    usual = np.array([SPREAD.get(name, 1.0) for name in names])
    near = np.abs(ours - theirs) <= 1e-9 * np.maximum(np.abs(theirs), usual)
    close = near | (np.isnan(ours) & np.isnan(theirs))
    return sorted({names[k] for k in np.flatnonzero(~close.reshape(-1, len(names)).all(axis=0))})


def leaks_by_truncation(compute: Compute, cut: int) -> list[str]:
    """Features of the bars before `cut` that change when everything from `cut` on is cut off."""
    whole = compute(ETH, FUNDING, BTC)
    known_at = int(ETH.timestamp[cut - 1]) + 900_000
    short = compute(ETH.slice(0, cut), until(FUNDING, known_at), BTC.slice(0, cut))
    return differing(short.values, whole.values[:cut], whole.names)


def leaks_by_perturbation(compute: Compute, cut: int) -> list[str]:
    """Features before `cut` that change when everything from `cut` on is replaced by another market."""
    other, other_btc = make_series(N, seed=99, price=7_000.0), make_series(N, symbol="BTC/USDT:USDT", seed=98, price=50_000.0)

    def spliced(frame: CandleFrame, strange: CandleFrame) -> CandleFrame:
        columns = (np.concatenate((ours[:cut], theirs[cut:])) for ours, theirs in zip(frame[3:], strange[3:], strict=True))
        return CandleFrame(frame.symbol, frame.timeframe, frame.timestamp, *columns)

    late = FUNDING.timestamp > int(ETH.timestamp[cut - 1]) + 900_000
    funding = FundingFrame(FUNDING.timestamp, np.where(late, 0.05, FUNDING.rate))
    whole = compute(ETH, FUNDING, BTC)
    strange = compute(spliced(ETH, other), funding, spliced(BTC, other_btc))
    return differing(strange.values[:cut], whole.values[:cut], whole.names)


def test_catalogue_names_every_feature_once_with_its_source_and_a_warm_up_that_fits() -> None:
    assert len(features.CATALOGUE) >= 100
    assert len(set(features.NAMES)) == len(features.NAMES) == WHOLE.values.shape[1]
    assert all(spec.source and 0 <= spec.warmup_bars < features.WARMUP_BARS for spec in features.CATALOGUE)
    families = {spec.family for spec in features.CATALOGUE}
    assert families >= {"price", "volume", "volatility", "trend", "momentum", "candles", "context", "regime", "funding", "cross_asset"}


def test_every_feature_is_finite_after_its_warm_up_and_nan_before() -> None:
    for k, spec in enumerate(features.CATALOGUE):
        assert np.isnan(WHOLE.values[: spec.warmup_bars, k]).all(), spec.name
        assert np.isfinite(WHOLE.values[spec.warmup_bars :, k]).all(), spec.name


def test_no_feature_is_constant() -> None:
    spread = WHOLE.values[features.WARMUP_BARS :].std(axis=0)
    constant = {name for name, width in zip(features.NAMES, spread, strict=True) if width == 0.0}
    assert constant == {"btc_known", "funding_known", "zero_volume_96"}


@pytest.mark.parametrize("back", [1, 2, 4, 5, 16, 17, 95, 96, 97, 400])
def test_truncating_the_future_changes_nothing(back: int) -> None:
    assert leaks_by_truncation(compute_all, N - back) == []


@pytest.mark.parametrize("frame_bars", [4, 16, 96])
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_truncating_at_the_border_of_a_higher_bar_changes_nothing(frame_bars: int, offset: int) -> None:
    border = 3_072 // frame_bars * frame_bars + frame_bars
    assert leaks_by_truncation(compute_all, border + offset) == []


@settings(max_examples=12)
@given(cut=st.integers(1, N - 1))
def test_truncating_anywhere_changes_nothing(cut: int) -> None:
    assert leaks_by_truncation(compute_all, cut) == []


@settings(max_examples=8)
@given(cut=st.integers(2_600, N - 1))
def test_perturbing_the_future_changes_nothing(cut: int) -> None:
    assert leaks_by_perturbation(compute_all, cut) == []


def joined_at_open(frame: CandleFrame, funding: FundingFrame, btc: CandleFrame) -> FeatureFrame:
    """The cheat: a 4h close joined from the 4h bar's OPEN on, as a naive merge by time does."""
    honest = compute_all(frame, funding, btc)
    base, _ = grid.regularise(frame, 900_000)
    bar = base.timestamp // (4 * HOUR_MS)
    last_of_bar = np.flatnonzero(np.append(bar[1:] != bar[:-1], True))
    peek = np.log(base.close[last_of_bar][np.searchsorted(bar[last_of_bar], bar)] / base.close)
    return FeatureFrame(honest.symbol, (*honest.names, "peek_4h"), honest.timestamp, np.column_stack((honest.values, peek)))


def test_the_same_helpers_catch_a_higher_frame_that_is_joined_at_its_open() -> None:
    cut = 3_072 + 5
    assert leaks_by_truncation(joined_at_open, cut) == ["peek_4h"]
    assert leaks_by_perturbation(joined_at_open, cut) == ["peek_4h"]


def live_window(last: int) -> FeatureFrame:
    start = last + 1 - features.WARMUP_BARS
    frame = ETH.slice(start, last + 1)
    funding = until(FUNDING, int(frame.timestamp[-1]) + 900_000)
    recent = funding.timestamp >= frame.timestamp[0]
    return features.compute(frame, funding=FundingFrame(funding.timestamp[recent], funding.rate[recent]), btc=BTC.slice(start, last + 1))


@pytest.mark.parametrize("last", [N - 1, N - 2, N - 17, 3_071, 3_072, 3_073, features.WARMUP_BARS - 1 + 50, 2_777])
def test_a_live_window_gives_the_batch_values(last: int) -> None:
    live = live_window(last)
    assert np.isfinite(live.values[-1]).all()
    assert differing(live.values[-1], WHOLE.values[last], WHOLE.names) == []


def test_a_live_window_matches_to_a_billionth_after_a_volume_spike_far_back() -> None:
    volume = ETH.volume.copy()
    volume[900] *= 1e9
    spiked = changed(ETH, volume=volume)
    batch = features.compute(spiked, btc=BTC).values[-1]
    live = features.compute(spiked.slice(N - features.WARMUP_BARS, N), btc=BTC.slice(N - features.WARMUP_BARS, N)).values[-1]
    assert differing(live, batch, WHOLE.names) == []


@pytest.mark.parametrize("config", [PlanConfig(), PlanConfig(atr_timeframe="1h"), PlanConfig(atr_timeframe="4h", atr_period=10)])
def test_plan_atr_is_the_same_live_as_in_batch_and_knows_closed_bars_only(config: PlanConfig) -> None:
    batch = features.plan_atr(ETH, config)
    for last in (N - 1, N - 2, 3_071, 3_072, 2_900):
        live = features.plan_atr(ETH.slice(last + 1 - features.WARMUP_BARS, last + 1), config)
        assert live[-1] == pytest.approx(batch[last], rel=1e-9)
        assert features.plan_atr(ETH.slice(0, last + 1), config)[-1] == batch[last]


def test_plan_atr_is_talibs_atr_of_the_closed_4h_bars() -> None:
    import talib

    base, _ = grid.regularise(ETH, 900_000)
    four = grid.aggregate(base, 4 * HOUR_MS)
    theirs = talib.ATR(four.high, four.low, four.close, timeperiod=14)
    ours = features.plan_atr(ETH, PlanConfig())
    last_of_bar = np.arange(200, 220) * 16 + 15
    assert ours[last_of_bar] == pytest.approx(theirs[200:220], rel=1e-4)
    assert ours[last_of_bar[0] - 1] == pytest.approx(theirs[199], rel=1e-4)


def test_gaps_become_flat_bars_and_leave_every_stored_row_finite() -> None:
    keep = np.ones(N, dtype=bool)
    keep[[1_500, 2_000, 2_001, 2_002]] = False
    keep[2_500:2_518] = False
    keep[3_000:3_100] = False
    gapped = picked(ETH, keep)
    out = features.compute(gapped, funding=FUNDING, btc=BTC)
    place = np.flatnonzero(keep)
    assert out.timestamp.size == keep.sum()
    assert np.isfinite(out.values[place >= features.WARMUP_BARS]).all()
    assert differing(out.values[place < 1_500], WHOLE.values[:1_500], WHOLE.names) == []
    live = features.compute(gapped.slice(len(gapped) - features.WARMUP_BARS, len(gapped)), funding=FUNDING, btc=BTC)
    assert differing(live.values[-1], out.values[-1], out.names) == []


def test_a_gap_of_weeks_starts_the_history_anew() -> None:
    keep = np.ones(N, dtype=bool)
    keep[500:1_200] = False
    out = features.compute(picked(ETH, keep), btc=BTC)
    restarted = features.compute(ETH.slice(1_200, N), btc=BTC)
    assert differing(out.values[500:], restarted.values, out.names) == []
    assert np.isfinite(out.values[-1]).all()


def test_a_dead_market_without_volume_or_movement_stays_finite() -> None:
    columns = {name: getattr(ETH, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name in ("open", "high", "low", "close"):
        columns[name][2_450:3_300] = ETH.close[2_449]
    columns["volume"][2_450:3_300] = 0.0
    out = features.compute(changed(ETH, **columns), funding=FUNDING, btc=BTC)
    assert np.isfinite(out.values[features.WARMUP_BARS :]).all()
    assert np.abs(out.values[features.WARMUP_BARS :]).max() < 1_000.0
    assert out.values[3_200, features.NAMES.index("zero_volume_96")] == 1.0


@pytest.mark.parametrize("price_factor", [1e-9, 1e-4, 1e6])
def test_features_do_not_depend_on_the_price_or_volume_scale(price_factor: float) -> None:
    scaled = changed(ETH, **{name: getattr(ETH, name) * price_factor for name in ("open", "high", "low", "close")}, volume=ETH.volume * 1e5)
    out = features.compute(scaled, funding=FUNDING, btc=BTC)
    rows = slice(features.WARMUP_BARS, None)
    assert np.allclose(out.values[rows], WHOLE.values[rows], rtol=1e-6, atol=1e-6)


def test_missing_funding_and_bitcoin_are_said_to_be_unknown() -> None:
    out = features.compute(ETH)
    known = [features.NAMES.index(name) for name in ("funding_known", "btc_known")]
    assert (out.values[features.WARMUP_BARS :, known] == 0.0).all()
    assert np.isfinite(out.values[features.WARMUP_BARS :]).all()


def test_bitcoin_is_its_own_bitcoin() -> None:
    out = features.compute(BTC)
    assert out.values[-1, features.NAMES.index("btc_known")] == 1.0
    assert out.values[-1, features.NAMES.index("btc_corr_96")] == pytest.approx(1.0)


def test_a_funding_rate_is_known_from_its_boundary_on() -> None:
    boundary = int(ETH.timestamp[3_000])
    funding = FundingFrame(np.array([boundary]), np.array([0.0005]))
    column = features.compute(ETH, funding=funding, btc=BTC).values[:, features.NAMES.index("funding_last")]
    assert column[2_998] == 0.0
    assert column[2_999] == pytest.approx(5.0)  # this bar closes at the boundary
    assert column[3_094] == pytest.approx(5.0)
    assert column[3_096] == 0.0  # a day later it is stale


def test_other_base_timeframes_work_and_unknown_ones_are_refused() -> None:
    hourly = make_series(3_000, timeframe="1h")
    assert np.isfinite(features.compute(hourly).values[-1]).all()
    with pytest.raises(ValueError, match="base timeframe of 15m, 30m, 1h, not '5m'"):
        features.compute(changed(ETH, timeframe="5m"))
    with pytest.raises(ValueError, match="btc must have the timeframe 15m"):
        features.compute(ETH, btc=hourly)


def test_a_short_or_empty_history_gives_rows_of_nan_not_an_error() -> None:
    assert features.compute(ETH.slice(0, 0)).values.shape == (0, len(features.NAMES))
    short = features.compute(ETH.slice(0, 3), btc=BTC.slice(0, 3), funding=FUNDING)
    assert short.values.shape == (3, len(features.NAMES))
    assert np.isnan(short.values[:, features.NAMES.index("ret_4")]).all()
