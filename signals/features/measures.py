"""Small measures that several families share. Arrays of shape [n] in, [n] out; nothing here returns inf or an inner NaN."""

import numpy as np

from signals.features import rolling
from signals.features.spec import Array, Bars

LIMIT = 20.0  # ratios are cut here: after a dead market the unit of measure is close to nothing


def log_returns(close: Array) -> Array:
    """ln(close / previous close), 0 for the first bar."""
    out = np.zeros_like(close)
    np.log(close[1:] / close[:-1], out=out[1:])
    return out


def change(close: Array, bars: int) -> Array:
    """ln(close / close `bars` ago), NaN for the first `bars` rows."""
    out = np.full_like(close, np.nan)
    if close.size > bars:
        np.log(close[bars:] / close[:-bars], out=out[bars:])
    return out


def lagged(x: Array, bars: int) -> Array:
    """x of `bars` ago, NaN before."""
    out = np.full_like(x, np.nan)
    if x.size > bars:
        out[bars:] = x[:-bars]
    return out


def ratio(value: Array, unit: Array, *, neutral: float = 0.0) -> Array:
    """value / unit within +-LIMIT, `neutral` where the unit is nothing. NaN stays where a value is not known yet."""
    nothing = unit <= 1e-12
    out = np.clip(value / np.where(nothing, 1.0, unit), -LIMIT, LIMIT)
    return np.where(nothing & ~np.isnan(value), neutral, out)


def true_range(bars: Bars) -> Array:
    """Wilder's true range in price units; high - low for the first bar."""
    previous = np.concatenate((bars.open[:1], bars.close[:-1]))
    return np.maximum(bars.high, previous) - np.minimum(bars.low, previous)


def unit_range(bars: Bars, window: int = 14) -> Array:
    """Mean true range, at least a millionth of the price: the unit of distances."""
    return np.maximum(rolling.mean(true_range(bars), window), bars.close * 1e-6)


def range_position(bars: Bars, window: int) -> Array:
    """Where the close lies between the window's low (-1) and high (+1); 0 when they are equal."""
    high, low = rolling.maximum(bars.high, window), rolling.minimum(bars.low, window)
    return 2.0 * ratio(bars.close - low, high - low, neutral=0.5) - 1.0


def efficiency(close: Array, window: int) -> Array:
    """Kaufman's efficiency ratio with the sign of the move: net change / path walked, -1 to 1."""
    returns = log_returns(close)
    path = rolling.mean(np.abs(returns), window) * window
    return ratio(rolling.mean(returns, window) * window, path)


def cutler_rsi(close: Array, window: int) -> Array:
    """RSI with simple means (Cutler), scaled to -1..1: a window's memory is the window."""
    returns = log_returns(close)
    return ratio(rolling.mean(returns, window), rolling.mean(np.abs(returns), window))


def band_position(close: Array, window: int) -> Array:
    """(close - mean) / standard deviation over the window, as in Bollinger's bands."""
    centre, spread = rolling.mean_std(close, window)
    return ratio((close - centre) / close, np.where(spread > close * 1e-9, spread / close, 0.0))
