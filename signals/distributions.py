"""Whether two samples come from one distribution, when their values hang together in time.

PSI: population stability index over quantile bins of the reference. KS: the largest distance between two empirical distribution functions.
Neither knows that neighbouring bars are nearly the same observation: a window of 3,000 bars may hold thirty independent values, and thirty
values of ONE distribution have a PSI of 0.3 and a KS of 0.2 against it. So p-values go by effective numbers, and a threshold alone accuses nobody.
"""

from math import exp, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 10
FLOOR = 0.5
"""Added to every bin's count, so that an empty one has a finite PSI (Jeffreys' prior)."""


SAMPLE_ROWS = 4_000
PREDICTIONS = ("probability long", "probability short")
"""Columns of a reference that are a model's answers."""
DAY_MS = 86_400_000


class Reference(NamedTuple):
    """What a model's inputs and answers looked like where it learned.

    columns -- names: features, then predictions
    sample  -- float32 [at most SAMPLE_ROWS, columns], evenly spaced in time; NaN where there is no value
    per_day -- independent values a day, by column
    rows    -- how many rows it was taken from
    days    -- time covered by these
    """

    columns: tuple[str, ...]
    sample: NDArray[np.float32]
    per_day: tuple[float, ...]
    rows: int
    days: float


class Histogram(NamedTuple):
    """Shares of both samples between the same edges; one bin more than edges, the outer ones open. shares float64 [bins]."""

    edges: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def reference_of(columns: tuple[str, ...], values: NDArray[np.float32], moments: NDArray[np.int64], *, step_ms: int) -> Reference:
    """The reference of a panel: values [rows, columns], moments [rows] in ms, `step_ms` from one moment to the next. NaN: not known there."""
    times = np.unique(moments)
    per_day = np.empty(len(columns))
    for column in range(len(columns)):
        known = np.isfinite(values[:, column])
        share = independent_share(values[known, column : column + 1], moments[known])[0] if known.any() else 0.0
        per_day[column] = share * DAY_MS / step_ms
    order = np.argsort(moments, kind="stable")
    taken = order[np.unique(np.linspace(0, order.size - 1, min(SAMPLE_ROWS, order.size)).astype(np.int64))]
    days = times.size * step_ms / DAY_MS
    return Reference(tuple(columns), np.ascontiguousarray(values[taken], dtype=np.float32), tuple(per_day.tolist()), int(order.size), days)


def histogram(reference: Array, current: Array, *, bins: int = BINS) -> Histogram:
    """Bins that hold equal parts of the reference, as far as its ties allow; arrays [n] and [m], finite. A bin ends with its upper edge."""
    edges = np.unique(np.quantile(reference, np.arange(1, bins) / bins, method="lower"))
    if edges.size and edges[-1] >= reference.max():
        edges = edges[:-1]  # a bin that the reference cannot reach
    ours, theirs = (np.bincount(np.searchsorted(edges, sample, side="left"), minlength=edges.size + 1) for sample in (reference, current))
    return Histogram(tuple(edges.tolist()), tuple((ours / reference.size).tolist()), tuple((theirs / current.size).tolist()))


def psi(found: Histogram, n: int, m: int) -> float:
    """Sum of (q - p) ln(q / p) over the bins (Siddiqi, Credit Risk Scorecards, 2006); n and m are the samples' sizes.

    The same as the symmetric Kullback-Leibler divergence of the binned samples. 0 when they agree.
    """
    count = len(found.reference)
    p = (np.array(found.reference) * n + FLOOR) / (n + FLOOR * count)
    q = (np.array(found.current) * m + FLOOR) / (m + FLOOR * count)
    return float(((q - p) * np.log(q / p)).sum())


def ks(reference: Array, current: Array) -> float:
    """The two-sample Kolmogorov-Smirnov statistic, 0 to 1; arrays [n] and [m], finite, in any order."""
    ours, theirs = np.sort(reference), np.sort(current)
    every = np.concatenate([ours, theirs])
    return float(
        np.abs(np.searchsorted(ours, every, side="right") / ours.size - np.searchsorted(theirs, every, side="right") / theirs.size).max()
    )


def ks_p_value(distance: float, n: float, m: float) -> float:
    """Chance of at least this distance between samples of one distribution with n and m independent values.

    Kolmogorov's limit with Stephens' (1970) correction for small samples; n and m may be effective numbers. Ties make it too large, not too small.
    """
    size = sqrt(n * m / (n + m))
    x = (size + 0.12 + 0.11 / size) * distance
    if x < 0.2:
        return 1.0  # the alternating series does not converge there; the value is 1 to 12 digits
    total = sum((-1) ** (k - 1) * exp(-2.0 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * total))


def false_discoveries(p_values: Array, rate: float) -> NDArray[np.bool_]:
    """Which of these tests to believe so that at most the share `rate` of those believed are chance (Benjamini and Hochberg 1995).

    Holds for independent tests and for positively dependent ones (Benjamini and Yekutieli 2001), which features of one market mostly are.
    """
    count = p_values.size
    order = np.argsort(p_values, kind="stable")
    passed = np.flatnonzero(p_values[order] <= rate * np.arange(1, count + 1) / max(count, 1))
    believed = np.zeros(count, dtype=bool)
    if passed.size:
        believed[order[: passed[-1] + 1]] = True
    return believed


def independent_share(values: NDArray[np.float32], moments: NDArray[np.int64]) -> Array:
    """How many independent values each moment of a panel is worth, by column: float64 [k], more than 0, at most rows per moment.

    values  -- [rows, k], rows of all symbols
    moments -- int64 [rows], the time of each row; equally spaced where there are no gaps
    Every value is replaced by its rank, which is what distribution functions see. What one moment tells is the mean rank of its symbols, for
    coins move together; its long-run variance adds up autocovariances by Geyer's initial monotone sequence (Practical Markov chain Monte
    Carlo, 1992), which stops where they drown in noise. The ratio of the ranks' variance to it is the share.
    """
    times, place, rows = np.unique(moments, return_inverse=True, return_counts=True)
    out = np.empty(values.shape[1])
    for column in range(values.shape[1]):
        rank = _ranks(values[:, column])
        spread = float(rank.var())
        mean = np.bincount(place, weights=rank, minlength=times.size) / rows
        long_run = _long_run_variance(mean - mean.mean())
        out[column] = 1.0 if spread <= 0.0 or long_run <= 0.0 else spread / long_run
    return np.clip(out, 1.0 / max(times.size, 1), rows.mean())


def _ranks(values: NDArray[np.float32]) -> Array:
    """Mid-ranks from 0 to 1."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(((last - counts + last) / 2.0 / values.size)[inverse], dtype=np.float64)


def _long_run_variance(series: Array) -> float:
    """Of a centred series [n]: the variance of its mean, times n."""
    count = series.size
    padded = 1 << (2 * count - 1).bit_length()
    power = np.abs(np.fft.rfft(series, padded)) ** 2
    covariance = np.fft.irfft(power, padded)[: max(2, count // 2)] / count
    pairs = covariance[: covariance.size // 2 * 2].reshape(-1, 2).sum(axis=1)
    stop = int(np.argmax(pairs <= 0.0)) if (pairs <= 0.0).any() else pairs.size
    return float(2.0 * np.minimum.accumulate(pairs[:stop]).sum() - covariance[0])
