"""Points 6, 7, 9, 10 and 11: what the simulation assumed of its fills, and how much of the result rests on it."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from backtesting import kernel
from backtesting.honesty.again import Again, Finer, Simulation
from backtesting.honesty.sayings import FAIL, PASS, WARN, Check, counted, judged, said, share
from exchanges.exits import LIQUIDATION, STOP
from exchanges.risk.liquidation import price_by_tiers, rows_of

F = NDArray[np.float64]

INSIDE, GAPS, SHARE, LIQUIDATED, VENUE = 6, 7, 9, 10, 11
MOST_AMBIGUOUS = 0.05
LEAST_COVERED = 0.95
MOST_LOST = 0.1
"""Of the net result, by finer bars that the run did not use."""
LARGE, TOO_LARGE = 0.01, 0.1
"""Of the deciding bar's turnover."""
BUFFER = 0.005
"""Of the entry price, between stop and liquidation: what mark and last price, or a fast market, may differ by."""
MOST_WITHOUT_MARK = 0.01


def paths(done: Simulation, seen: Again) -> Iterator[Check]:
    """Point 6: the share of trades whose order inside a bar was assumed, and the result by each assumption."""
    trades = done.result.trades
    n, assumed = int(trades.pnl.shape[0]), int(trades.is_ambiguous.sum())
    yield judged(
        INSIDE, "Order inside a bar assumed", not n or assumed / n <= MOST_AMBIGUOUS, share(assumed, n),
        f"{assumed} of {counted(n, 'trade')} saw a bar that reached its stop and a target; finer bars, where they are stored, would decide",
    )  # fmt: skip
    nets = [outcome.net for outcome in seen.paths.values()]
    told = ", ".join(f"{name} {outcome.net:+.2f}" for name, outcome in seen.paths.items())
    yield judged(
        INSIDE, "Profit on the pessimistic path", seen.paths["pessimistic"].net > 0.0, f"{seen.paths['pessimistic'].net:+.2f}",
        f"without the limits of loss net {told}: they span {max(nets) - min(nets):.2f}",
    )  # fmt: skip


def inside(done: Simulation, seen: Again, finer: Finer | None) -> Check:
    """Point 6 once more: what finer bars say of the order that was assumed. A profit that they take away fails."""
    name, own, total = "Finer bars inside the bar", seen.costs[1].net, int(done.bars.rows.shape[0])
    if finer is None:
        assumed = int(done.result.trades.is_ambiguous.sum())
        told = "no finer bars of these markets are stored in this span"
        advice = "backfill or import 1m candles to decide what was assumed" if assumed else "there was nothing for them to decide"
        return judged(INSIDE, name, not assumed, share(0, total), f"{told}; {advice}")
    stored = f"{finer.covered:,} of {counted(total, 'bar')} have all of their {finer.frame} bars stored"
    if seen.coarse is not None:
        detail = (
            f"{stored}, and the run used them: without the limits of loss net {own:+.2f}, without the finer bars {seen.coarse.net:+.2f}"
        )
        return judged(INSIDE, name, finer.covered >= LEAST_COVERED * total, share(finer.covered, total), detail)
    if seen.fine is None:
        return judged(INSIDE, name, False, share(finer.covered, total), f"{stored}, so that the run used none")
    detail = f"{stored}, and the run used none: without the limits of loss net {own:+.2f}, with the finer bars {seen.fine.net:+.2f}"
    is_like = seen.fine.net >= own - MOST_LOST * abs(own) and finer.covered >= LEAST_COVERED * total
    return said(INSIDE, name, FAIL if own > 0.0 >= seen.fine.net else (PASS if is_like else WARN), share(finer.covered, total), detail)


def gaps(done: Simulation) -> Iterator[Check]:
    """Point 7: stops behind which the price opened. Only first stops are looked at: one that has moved is not kept with its trade."""
    trades, rows = done.result.trades, done.bars.rows
    stopped = np.flatnonzero((trades.reason == STOP) & (trades.tps == 0))
    side, stop, left = trades.side[stopped], trades.stop[stopped], trades.left[stopped]
    opened = rows["open"][left]
    jumped = (left > trades.entered[stopped]) & (side * (opened - stop) < 0.0)
    worst = np.where(jumped, opened, stop)
    ticks = np.array([spec.tick for spec in done.specs])[trades.symbol[stopped]] + 1e-9 * stop
    kinder = int(np.count_nonzero(side * (trades.exit[stopped] - worst) > ticks))
    n, behind = int(stopped.shape[0]), int(jumped.sum())
    cost = float((side * (stop - opened) * trades.qty[stopped])[jumped].sum())
    yield said(
        GAPS, "Stops fill at the worse of stop and open", FAIL if kinder else PASS, f"{behind}",
        f"{behind} of {counted(n, 'first stop')} jumped over and filled at the open, {cost:.2f} beyond them; {kinder} filled better than the worse of the two",
    )  # fmt: skip


def volume(done: Simulation) -> Iterator[Check]:
    """Point 9: orders against the turnover of the bar they were decided at."""
    trades, rows = done.result.trades, done.bars.rows[done.result.trades.decided]
    turnover = rows["volume"] * rows["close"]
    name = "Orders against the volume"
    if not trades.pnl.shape[0]:
        yield said(SHARE, name, WARN, "", "no trades")
        return
    with np.errstate(divide="ignore"):
        part = np.where(turnover > 0.0, trades.qty * trades.entry / turnover, np.inf)
    most, usual = float(part.max()), float(np.quantile(part, 0.95, method="lower"))
    limit = f"the run allowed {done.rules.participation:.1%}" if done.rules.participation > 0.0 else "the run set no limit"
    silent = int(np.count_nonzero(turnover <= 0.0))
    large = "more than everything that was traded" if np.isinf(most) else f"{most:.2%}"
    yield said(
        SHARE, name, FAIL if most > TOO_LARGE else (WARN if most > LARGE else PASS), "" if np.isinf(most) else f"{most:.2%}",
        f"the largest order was {large} of its deciding bar's turnover, 95 in 100 at most {_pct(usual)}; {silent} on a bar without volume; {limit}",
    )  # fmt: skip


def _pct(part: float) -> str:
    return "everything" if np.isinf(part) else f"{part:.2%}"


def liquidation(done: Simulation, mark_bars: int, perpetual_bars: int) -> Iterator[Check]:
    """Point 10. mark_bars -- of the perpetuals' bars, those with a stored mark price"""
    trades, name = done.result.trades, "Stop before liquidation"
    if not any(spec.tiers for spec in done.specs):
        yield said(LIQUIDATED, name, PASS, "0", "nothing is borrowed on these markets, so nothing is liquidated")
        return
    liquidated = int((trades.reason == LIQUIDATION).sum())
    distance = distances(done.specs, trades)
    nearest = float(distance.min()) if distance.shape[0] else np.inf
    tiers = max(len(spec.tiers) for spec in done.specs)
    assumed = "one tier of maintenance margin is assumed for all sizes" if tiers == 1 else f"{tiers} tiers of maintenance margin"
    least = (
        "no trade could be liquidated"
        if np.isinf(nearest)
        else f"the least way from a stop to liquidation was {nearest:.2%} of the entry price"
    )
    yield said(
        LIQUIDATED, name, FAIL if nearest <= 0.0 else (WARN if liquidated or nearest < BUFFER else PASS), f"{liquidated}",
        f"{liquidated} of {counted(trades.pnl.shape[0], 'trade')} liquidated, for a fee of {done.specs[0].liquidation_fee:.2%} of the notional besides the taker's; {least}; "
        f"{assumed}",
    )  # fmt: skip
    without = perpetual_bars - mark_bars
    yield judged(
        LIQUIDATED, "Mark prices", not perpetual_bars or without / perpetual_bars <= MOST_WITHOUT_MARK, share(mark_bars, perpetual_bars),
        f"{mark_bars:,} of {perpetual_bars:,} bars of perpetuals have a stored mark price; the last price stands in for the others",
    )  # fmt: skip


def distances(specs: Sequence[kernel.Spec], trades: kernel.Trades) -> F:
    """From each trade's first stop on to its liquidation price, as a fraction of its entry: below 0, liquidation comes first. Trades that cannot be
    liquidated are left out."""
    found, tiers = [], [rows_of(spec.tiers) for spec in specs]
    for symbol, side, entry, qty, leverage, stop in zip(
        trades.symbol.tolist(), trades.side.tolist(), trades.entry.tolist(), trades.qty.tolist(), trades.leverage.tolist(), trades.stop.tolist(),
        strict=True,
    ):  # fmt: skip
        price = price_by_tiers(tiers[symbol], 0, len(specs[symbol].tiers), side, entry, qty, leverage)
        if price > 0.0:
            found.append(side * (stop - price) / entry)
    return np.array(found)


def venue(done: Simulation) -> Iterator[Check]:
    """Point 11."""
    small = done.result.refused.get("size", 0)
    yield said(
        VENUE, "Today's rules of the venue", WARN, f"{small}",
        f"steps, ticks, minimums and fees are today's, assumed for the whole span; {small} of {counted(done.result.signals, 'signal')} refused because what the "
        f"account may risk is less than the least order",
    )  # fmt: skip
