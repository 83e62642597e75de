"""Windows over the last w values, each computed from its own values alone.

Running sums would be faster, but they carry rounding from the far past: after a volume spike a live window and the batch would differ.
The first w - 1 results are NaN. Sums may be reordered (SIMD), always in the same way for one w.
"""

import numpy as np

from exchanges.compiled import njit
from signals.features.spec import Array

REORDER = {"reassoc", "contract"}


@njit(cache=True, fastmath=REORDER)
def mean(x: Array, w: int) -> Array:
    """Arithmetic mean."""
    out = np.full(x.shape[0], np.nan)
    for i in range(w - 1, x.shape[0]):
        total = 0.0
        for j in range(i - w + 1, i + 1):
            total += x[j]
        out[i] = total / w
    return out


@njit(cache=True, fastmath=REORDER)
def mean_std(x: Array, w: int) -> tuple[Array, Array]:
    """Mean and population standard deviation, in two passes; the deviation of equal values is exactly 0."""
    n = x.shape[0]
    centre, spread = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(w - 1, n):
        first, total = x[i], 0.0
        for j in range(i - w + 1, i + 1):
            total += x[j] - first
        shift = total / w
        squares = 0.0
        for j in range(i - w + 1, i + 1):
            d = x[j] - first - shift
            squares += d * d
        centre[i] = first + shift
        spread[i] = np.sqrt(squares / w)
    return centre, spread


@njit(cache=True, fastmath=REORDER)
def skew_kurtosis(x: Array, w: int) -> tuple[Array, Array]:
    """Standardised third moment and excess fourth moment; 0 for a window without movement."""
    n = x.shape[0]
    skew, kurtosis = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(w - 1, n):
        total = 0.0
        for j in range(i - w + 1, i + 1):
            total += x[j]
        m = total / w
        m2 = m3 = m4 = 0.0
        for j in range(i - w + 1, i + 1):
            d = x[j] - m
            m2 += d * d
            m3 += d * d * d
            m4 += d * d * d * d
        variance = m2 / w
        if variance > 1e-18:
            skew[i] = m3 / w / variance**1.5
            kurtosis[i] = m4 / w / (variance * variance) - 3.0
        else:
            skew[i] = 0.0
            kurtosis[i] = 0.0
    return skew, kurtosis


@njit(cache=True, fastmath=REORDER)
def covariance(x: Array, y: Array, w: int) -> tuple[Array, Array, Array]:
    """Population covariance of x and y, variance of x, variance of y."""
    n = x.shape[0]
    cov, vx, vy = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    for i in range(w - 1, n):
        tx = ty = 0.0
        for j in range(i - w + 1, i + 1):
            tx += x[j]
            ty += y[j]
        mx, my = tx / w, ty / w
        sxy = sxx = syy = 0.0
        for j in range(i - w + 1, i + 1):
            dx, dy = x[j] - mx, y[j] - my
            sxy += dx * dy
            sxx += dx * dx
            syy += dy * dy
        cov[i], vx[i], vy[i] = sxy / w, sxx / w, syy / w
    return cov, vx, vy


@njit(cache=True, fastmath=REORDER)
def slope_fit(x: Array, w: int) -> tuple[Array, Array]:
    """Least-squares slope per bar of x over time, and the share of its variance that the line explains (0 for a flat window)."""
    n = x.shape[0]
    slope, fit = np.full(n, np.nan), np.full(n, np.nan)
    middle = (w - 1) / 2.0
    stt = w * (w * w - 1.0) / 12.0
    for i in range(w - 1, n):
        first, total, sxt = x[i], 0.0, 0.0
        start = i - w + 1
        for j in range(w):
            d = x[start + j] - first
            total += d
            sxt += d * (j - middle)
        m = total / w
        sxx = 0.0
        for j in range(w):
            d = x[start + j] - first - m
            sxx += d * d
        slope[i] = sxt / stt
        fit[i] = sxt * sxt / (stt * sxx) if sxx > 1e-18 else 0.0
    return slope, fit


@njit(cache=True)
def maximum(x: Array, w: int) -> Array:
    """Largest value."""
    out = np.full(x.shape[0], np.nan)
    at = -1
    for i in range(x.shape[0]):
        if at < i - w + 1:
            at = max(0, i - w + 1)
            for j in range(at + 1, i + 1):
                if x[j] >= x[at]:
                    at = j
        elif x[i] >= x[at]:
            at = i
        if i >= w - 1:
            out[i] = x[at]
    return out


@njit(cache=True)
def minimum(x: Array, w: int) -> Array:
    """Smallest value."""
    return -maximum(-x, w)


@njit(cache=True)
def rank(x: Array, w: int) -> Array:
    """Share of the window that is not above its newest value, in (0, 1]; equal values count half."""
    out = np.full(x.shape[0], np.nan)
    for i in range(w - 1, x.shape[0]):
        below = equal = 0
        for j in range(i - w + 1, i + 1):
            if x[j] < x[i]:
                below += 1
            elif x[j] == x[i]:
                equal += 1
        out[i] = (below + 0.5 * equal) / w
    return out


@njit(cache=True)
def drawdown(close: Array, w: int) -> Array:
    """Deepest fall from an earlier high inside the window, as a fraction (0 to 1)."""
    n = close.shape[0]
    out = np.full(n, np.nan)
    for i in range(w - 1, n):
        peak, worst = close[i - w + 1], 0.0
        for j in range(i - w + 2, i + 1):
            peak = max(peak, close[j])
            worst = max(worst, 1.0 - close[j] / peak)
        out[i] = worst
    return out


@njit(cache=True)
def wilder(x: Array, period: int, memory: int) -> Array:
    """Wilder's smoothing with a memory of `memory` values: the mean of the oldest `period` of them, then (prev * (period - 1) + x) / period.

    TA-Lib's is the same with a memory back to the first bar; the two differ by at most (1 - 1/period) ** (memory - period) of the seed.
    """
    n = x.shape[0]
    out = np.full(n, np.nan)
    for i in range(memory - 1, n):
        start = i - memory + 1
        value = 0.0
        for j in range(start, start + period):
            value += x[j]
        value /= period
        for j in range(start + period, i + 1):
            value = (value * (period - 1) + x[j]) / period
        out[i] = value
    return out


@njit(cache=True)
def streak(x: Array, cap: float) -> Array:
    """How many bars in a row x has had the same sign, signed, at most `cap`; 0 restarts it."""
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        if x[i] == 0.0:
            continue
        sign = 1.0 if x[i] > 0.0 else -1.0
        previous = out[i - 1] if i > 0 else 0.0
        out[i] = previous + sign if previous * sign > 0.0 else sign
        if abs(out[i]) > cap:
            out[i] = sign * cap
    return out
