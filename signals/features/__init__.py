"""What a model knows about a market at the close of a bar. One function for batch and live.

`compute` sees closed candles only and answers for every row with what was known at that bar's close. A window of WARMUP_BARS stored
bars is enough for its newest row to equal the value computed over the whole history.
"""

import numpy as np
from numpy.typing import NDArray

from exchanges.ports import CandleFrame, FundingFrame
from signals.features import candles, context, cross_asset, grid, momentum, price, regime, trend, volatility, volume
from signals.features import funding as funding_family
from signals.features.plan_atr import plan_atr
from signals.features.spec import Array, Bars, FeatureSpec, Inputs
from signals.ports import FeatureFrame

__all__ = ["CATALOGUE", "NAMES", "WARMUP_BARS", "FeatureSpec", "compute", "plan_atr", "regimes"]

_FAMILIES = (price, volume, volatility, trend, momentum, candles, context, regime, funding_family, cross_asset)
CATALOGUE: tuple[FeatureSpec, ...] = tuple(spec for family in _FAMILIES for spec in family.SPECS)
NAMES: tuple[str, ...] = tuple(spec.name for spec in CATALOGUE)
_ROW = {name: row for row, name in enumerate(NAMES)}
WARMUP_BARS = 2_400
"""25 days of 15m bars: the longest warm-up of the catalogue and of the plan's ATR on 4h bars, rounded up."""


def compute(frame: CandleFrame, *, funding: FundingFrame | None = None, btc: CandleFrame | None = None) -> FeatureFrame:
    """All features of CATALOGUE for every bar of `frame`: values float64 [n, k], NaN before a feature's warm-up.

    funding -- the market's own funding history; without it the funding features are 0 and funding_known is 0
    btc     -- Bitcoin on the same timeframe; without it (and when `frame` is not Bitcoin) the cross-asset features are neutral
    Raises ValueError for a timeframe that features are not defined on, or when `btc` has another one.
    """
    step_ms = grid.base_step_ms(frame.timeframe)
    if btc is None and frame.symbol.startswith("BTC/"):
        btc = frame
    if btc is not None and btc.timeframe != frame.timeframe:
        raise ValueError(f"btc must have the timeframe {frame.timeframe}, not {btc.timeframe}")
    values = np.full((len(CATALOGUE), len(frame)), np.nan)
    bitcoin = None if btc is None or len(btc) == 0 else _normalised(btc, step_ms)
    for start, stop in grid.stretches(frame.timestamp):
        base, place = _normalised(frame.slice(start, stop), step_ms)
        inputs = _inputs(base, funding, btc, bitcoin)
        is_gapless = base.size == place.size
        for family in _FAMILIES:
            columns = family.compute(inputs)
            for spec in family.SPECS:
                column, first = columns[spec.name], int(np.searchsorted(place, spec.warmup_bars))
                values[_ROW[spec.name], start + first : stop] = column[first:] if is_gapless else column[place[first:]]
    return FeatureFrame(frame.symbol, NAMES, frame.timestamp, values.T)


def regimes(frame: CandleFrame) -> NDArray[np.int64]:
    """The column regime_code of `compute` by itself: a key of signals.features.regime.NAMES for every bar, -1 before its warm-up.

    Raises ValueError for a timeframe that features are not defined on.
    """
    step_ms = grid.base_step_ms(frame.timeframe)
    warmup = next(spec.warmup_bars for spec in regime.SPECS if spec.name == "regime_code")
    out = np.full(len(frame), -1, dtype=np.int64)
    for start, stop in grid.stretches(frame.timestamp):
        base, place = _normalised(frame.slice(start, stop), step_ms)
        code = regime.compute(_inputs(base, None, None, None))["regime_code"][place]
        out[start:stop] = np.where(place >= warmup, np.nan_to_num(code, nan=-1.0), -1.0)
    return out


def _normalised(frame: CandleFrame, step_ms: int) -> tuple[Bars, NDArray[np.int64]]:
    """The frame on its grid, prices multiplied by a power of two that brings the first close to about 1,000.

    That changes no digit, and makes the "is this nothing?" thresholds of TA-Lib and ours mean the same for every coin.
    """
    bars, place = grid.regularise(frame, step_ms)
    factor = 2.0 ** (10 - np.floor(np.log2(bars.close[0])))
    scaled = bars._replace(open=bars.open * factor, high=bars.high * factor, low=bars.low * factor, close=bars.close * factor)
    return scaled, place


def _inputs(base: Bars, funding: FundingFrame | None, btc: CandleFrame | None, bitcoin: tuple[Bars, NDArray[np.int64]] | None) -> Inputs:
    frames = {name: grid.aggregate(base, frame_ms) for name, frame_ms in grid.FRAME_MS.items()}
    closed = {name: grid.closed_index(base, higher) for name, higher in frames.items()}
    funding_ms = np.empty(0, dtype=np.int64) if funding is None else funding.timestamp
    funding_rate: Array = np.empty(0) if funding is None else funding.rate
    index = np.full(base.size, -1, dtype=np.int64)
    if btc is None or bitcoin is None:
        return Inputs(base, frames, closed, funding_ms, funding_rate, None, index)
    bars, place = bitcoin
    newest = np.searchsorted(btc.timestamp, base.timestamp, side="right") - 1
    age = base.timestamp - btc.timestamp[np.maximum(newest, 0)]
    fresh = (newest >= 0) & (age <= cross_asset.STALE_BARS * base.step_ms)
    index[fresh] = place[newest[fresh]]
    return Inputs(base, frames, closed, funding_ms, funding_rate, bars, index)
