"""Points 1 to 5: whether a decision knew its future or too little of its past, and whether its fill came after it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backtesting import kernel
from backtesting.honesty.deciding import LENGTHS, RANDOM_CUTS, Examined
from backtesting.honesty.sayings import FAIL, PASS, POINTS, WARN, Check, counted, said

CUT, NOISE, JOINED, WARM_UP, FILLS = 1, 2, 3, 4, 5
MOST_SAME_BAR = 0.05
NOT_EXAMINED = "not examined: nobody has run the look-ahead check of this strategy with this model; run it on the strategy's page or by `manage.py check_lookahead`"


def of_rule(seen: Examined) -> Iterator[Check]:
    """A rule is examined with every run."""
    others = seen.cuts - seen.random
    cuts = f"{seen.cuts:,} cuts, {seen.random} anywhere and {others:,} at the bars that {seen.trades:,} trades were decided at"
    again = f"; with all of its history up to there the run decided the same at {seen.whole - seen.unlike} of {seen.whole} of them"
    for point, moved, unlike, how, more in (
        (CUT, seen.moved_by_cut, seen.unlike, "cut off", again if seen.whole else ""),
        (NOISE, seen.moved_by_noise, 0, "replaced by noise", ""),
    ):
        verdict = FAIL if moved or unlike else (PASS if seen.cuts >= RANDOM_CUTS else WARN)
        yield said(
            point,
            POINTS[point],
            verdict,
            f"{moved:,}",
            f"{moved:,} of {seen.compared:,} decisions moved when what came later was {how}; {cuts}{more}",
        )
    yield said(
        JOINED,
        POINTS[JOINED],
        PASS,
        "0",
        "nothing is joined: the rule reads closed bars of its own market, and funding is paid, never read",
    )
    yield _warm_up(seen)


def _warm_up(seen: Examined) -> Check:
    name = POINTS[WARM_UP]
    if not seen.warmed:
        return said(
            WARM_UP, name, WARN, "", f"no trade was decided with {seen.warm_up:,} bars behind it in the span, so nothing was compared"
        )
    *shorter, whole = seen.kept
    lengths = ", ".join(f"{kept} with {times}x" for times, kept in zip(LENGTHS, shorter, strict=True))
    detail = (
        f"of {seen.warmed} decisions {whole} are the same with the up to {seen.warm_up:,} bars that a run warms up on; {lengths} the rule's longest window "
        f"of {seen.longest} bars"
    )
    return said(WARM_UP, name, PASS if whole == seen.warmed else WARN, f"{whole} of {seen.warmed}", detail)


def of_model(reports: Sequence[Mapping[str, Any]] | None, when: str) -> Iterator[Check]:
    """A model is examined by a job of its own. reports -- backtesting.lookahead.Report of each market, as JSON; None: it never ended"""
    if not reports:
        for point in (CUT, NOISE, JOINED, WARM_UP):
            yield said(point, POINTS[point], WARN, "", NOT_EXAMINED)
        return
    cuts, compared = (sum(int(report[name]) for report in reports) for name in ("cuts", "compared"))
    moved = _columns(reports, "look-ahead")
    found = f"{compared:,} values were compared at {cuts} cuts on {when}; markets: {len(reports)}" + _names(moved)
    told = {
        CUT: f"{found}",
        NOISE: f"{found}; later data was cut off, not replaced: what is cut off cannot be read",
        JOINED: f"{found}; funding and Bitcoin's candles were cut off at the same moment, higher bars with the bars they are made of",
    }
    for point, detail in told.items():
        yield said(point, POINTS[point], FAIL if moved else PASS, f"{len(moved)}", detail)
    short = _columns(reports, "warm-up")
    needed = [report["settled_bars"] for report in reports]
    settled = "not every value settles" if None in needed else f"every value settles within {max(needed)} bars"
    yield said(
        WARM_UP, POINTS[WARM_UP], FAIL if short else PASS, f"{len(short)}", f"{settled}; histories of growing length, {when}{_names(short)}"
    )


def _columns(reports: Sequence[Mapping[str, Any]], analysis: str) -> list[str]:
    return sorted({each["name"] for report in reports for each in report["findings"] if each["analysis"] == analysis})


def _names(moved: Sequence[str]) -> str:
    return f"; what moved: {', '.join(moved[:5])}{' and more' if len(moved) > 5 else ''}" if moved else ""


def fills(trades: kernel.Trades) -> Iterator[Check]:
    """Point 5."""
    n = int(trades.pnl.shape[0])
    early, same_bar = int((trades.entered <= trades.decided).sum()), int((trades.entered == trades.left).sum())
    yield said(
        FILLS,
        "Fill after the decision",
        FAIL if early else PASS,
        f"{early}",
        f"{early} of {counted(n, 'fill')} in or before the deciding bar",
    )
    yield said(
        FILLS,
        "Entry and exit in one bar",
        WARN if n and same_bar / n > MOST_SAME_BAR else PASS,
        f"{same_bar}",
        f"{same_bar} of {counted(n, 'trade')}; the order inside the bar is assumed",
    )
