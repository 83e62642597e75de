"""The references of sma_cross.py, sweep.py and portfolio.py: their rules as bare loops over columns, with nothing else around them.

No account limits, no venue rules, no funding, no liquidation, no ladder: what the arithmetic of the rules alone costs on this machine.
"""

from typing import Any

import numpy as np

from exchanges.compiled import njit

FEE, SLIPPAGE, PART, STOP, TARGET, ATR_BARS = 0.0005, 0.0003, 0.10, 1.5, 3.0, 14


@njit(cache=True)
def averages(close: Any, length: int) -> Any:
    """Simple moving averages; NaN before the first whole window."""
    out, total = np.full(close.shape[0], np.nan), 0.0
    for i in range(close.shape[0]):
        total += close[i] - (close[i - length] if i >= length else 0.0)
        if i >= length - 1:
            out[i] = total / length
    return out


@njit(cache=True)
def true_range(high: Any, low: Any, close: Any, bars: int) -> Any:
    """Wilder's average true range, seeded with the mean of the first `bars` true ranges."""
    out, mean = np.full(close.shape[0], np.nan), 0.0
    for i in range(1, close.shape[0]):
        span = max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        mean = mean + span / bars if i <= bars else mean + (span - mean) / bars
        if i >= bars:
            out[i] = mean
    return out


@njit(cache=True)
def one_pair(opened: Any, high: Any, low: Any, close: Any, fast: Any, slow: Any, atr: Any, cash: float, equity: Any) -> tuple[int, float]:
    """Crosses at a close act at the next open and reverse; stop before target. Returns (trades, final equity)."""
    side, qty, entry, stop, target, trades = 0, 0.0, 0.0, 0.0, 0.0, 0
    above, wanted = fast[0] > slow[0], 0
    for t in range(close.shape[0]):
        if wanted != 0:
            price = opened[t] * (1.0 + SLIPPAGE * wanted)
            if side != 0:
                cash += side * qty * (price - entry) - FEE * qty * price
                trades += 1
            side, entry, qty = wanted, price, PART * cash / price
            cash -= FEE * qty * price
            stop, target = price - side * STOP * atr[t - 1], price + side * TARGET * atr[t - 1]
            wanted = 0
        if side != 0:
            worst, best = (low[t], high[t]) if side > 0 else (high[t], low[t])
            left = 0.0
            if side * (worst - stop) <= 0.0:
                left = (opened[t] if side * (opened[t] - stop) < 0.0 else stop) * (1.0 - SLIPPAGE * side)
            elif side * (best - target) > 0.0:
                left = target
            if left > 0.0:
                cash += side * qty * (left - entry) - FEE * qty * left
                side, qty, trades = 0, 0.0, trades + 1
        equity[t] = cash + side * qty * (close[t] - entry)
        now = fast[t] > slow[t]
        if t > 0 and now != above and not np.isnan(slow[t - 1]):
            wanted = 1 if now else -1
        above = now
    if side != 0:
        cash += side * qty * (close[-1] - entry)
        trades += 1
    return trades, cash


@njit(cache=True)
def sma_cross(opened: Any, high: Any, low: Any, close: Any, fast: int, slow: int, cash: float, equity: Any) -> tuple[int, float]:
    """Indicators and simulation of one pair."""
    return one_pair(
        opened, high, low, close, averages(close, fast), averages(close, slow), true_range(high, low, close, ATR_BARS), cash, equity
    )


@njit(cache=True, nogil=True)
def sweep(opened: Any, high: Any, low: Any, close: Any, pairs: Any, cash: float, first: int, step: int) -> int:
    """Every step-th combination from `first` on. Returns the number of trades."""
    atr, equity, trades = true_range(high, low, close, ATR_BARS), np.empty(close.shape[0]), 0
    for k in range(first, pairs.shape[0], step):
        made, _ = one_pair(opened, high, low, close, averages(close, pairs[k, 0]), averages(close, pairs[k, 1]), atr, cash, equity)
        trades += made
    return trades


@njit(cache=True)
def portfolio(
    opened: Any, high: Any, low: Any, close: Any, fast: Any, slow: Any, atr: Any, most: int, cash: float, equity: Any
) -> tuple[int, float]:
    """All pairs [t, s] on one account with at most `most` positions: closings first, then entries, then exits inside the bar."""
    n, pairs = close.shape
    side, qty, entry, stop, target = np.zeros(pairs), np.zeros(pairs), np.zeros(pairs), np.zeros(pairs), np.zeros(pairs)
    wanted, above, held, trades, worth = np.zeros(pairs), np.zeros(pairs, np.bool_), 0, 0, cash
    for t in range(n):
        for s in range(pairs):
            if wanted[s] != 0.0 and side[s] != 0.0:
                price = opened[t, s] * (1.0 + SLIPPAGE * wanted[s])
                cash += side[s] * qty[s] * (price - entry[s]) - FEE * qty[s] * price
                side[s], qty[s], held, trades = 0.0, 0.0, held - 1, trades + 1
        for s in range(pairs):
            if wanted[s] != 0.0 and held < most:
                price = opened[t, s] * (1.0 + SLIPPAGE * wanted[s])
                side[s], entry[s], qty[s], held = wanted[s], price, PART * worth / price, held + 1
                cash -= FEE * qty[s] * price
                stop[s], target[s] = price - side[s] * STOP * atr[t - 1, s], price + side[s] * TARGET * atr[t - 1, s]
            wanted[s] = 0.0
        worth = cash
        for s in range(pairs):
            if side[s] != 0.0:
                worst, best = (low[t, s], high[t, s]) if side[s] > 0.0 else (high[t, s], low[t, s])
                left = 0.0
                if side[s] * (worst - stop[s]) <= 0.0:
                    left = (opened[t, s] if side[s] * (opened[t, s] - stop[s]) < 0.0 else stop[s]) * (1.0 - SLIPPAGE * side[s])
                elif side[s] * (best - target[s]) > 0.0:
                    left = target[s]
                if left > 0.0:
                    gain = side[s] * qty[s] * (left - entry[s]) - FEE * qty[s] * left
                    cash, worth = cash + gain, worth + gain
                    side[s], qty[s], held, trades = 0.0, 0.0, held - 1, trades + 1
                else:
                    worth += side[s] * qty[s] * (close[t, s] - entry[s])
            now = fast[t, s] > slow[t, s]
            if t > 0 and now != above[s] and not np.isnan(slow[t - 1, s]):
                wanted[s] = 1.0 if now else -1.0
            above[s] = now
        equity[t] = worth
    return trades + held, worth
