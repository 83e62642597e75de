"""The 24 questions and the form of an answer."""

from typing import Any

PASS, WARN, FAIL, SKIP = "pass", "warn", "fail", "skip"
POINTS = {
    1: "Decisions stay when later data is cut off",
    2: "Decisions stay when later data is noise",
    3: "What is joined was known at the decision",
    4: "Decisions stay with a longer warm-up",
    5: "Fills come after the decision",
    6: "The pessimistic path inside a bar",
    7: "Gaps",
    8: "Costs",
    9: "Share in the volume",
    10: "Liquidation",
    11: "The venue's rules",
    12: "Choice of markets",
    13: "Data",
    14: "Time kept back from training",
    15: "Purge and embargo",
    16: "Number of tries",
    17: "Luck",
    18: "Sample",
    19: "Calibration",
    20: "Votes of language models",
    21: "Concentration",
    22: "Reproducible",
    23: "Parity with live trading",
    24: "The checker itself",
}

Check = dict[str, Any]


def said(point: int, name: str, verdict: str, number: str, detail: str) -> Check:
    """An answer as a run keeps it: {point, name, verdict, number, detail}. number -- the one figure to look at, with its unit, or empty"""
    return {"point": point, "name": name, "verdict": verdict, "number": number, "detail": detail}


def judged(point: int, name: str, passed: bool, number: str, detail: str) -> Check:
    """Passed, or to be careful about."""
    return said(point, name, PASS if passed else WARN, number, detail)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 day", "2,000 days"; many -- the plural where it is more than an s"""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def share(part: float, whole: float) -> str:
    """In %, as many digits as a small share needs; empty for a part of nothing."""
    if not whole:
        return ""
    pct = 100.0 * part / whole
    return f"{pct:.0f} %" if pct == 0.0 or pct >= 10.0 else f"{pct:.2g} %"
