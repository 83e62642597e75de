"""Points 22 and 24: whether the run can be repeated, and who checks the checker."""

from collections.abc import Iterator, Mapping
from typing import Any

from backtesting.honesty.sayings import PASS, POINTS, SKIP, WARN, Check, said

REPEATABLE, CHECKER = 22, 24
SUITES = ("tests/signals/test_leaks.py", "tests/backtesting/test_lookahead.py", "tests/backtesting/test_deciding.py")
"""Planted cheats, each of which has to be caught, and clean strategies, which have to pass."""


def is_committed(code_version: str) -> bool:
    """traderai.lib.version hangs a hash of the sources behind a plus where no commit says what they are."""
    return bool(code_version) and "+" not in code_version and "-dirty" not in code_version


def answers(configuration: Mapping[str, Any], data_hash: str) -> Iterator[Check]:
    """configuration -- as backtesting.reproduction keeps it"""
    version = str(configuration["code_version"])
    committed = is_committed(version)
    code = f"code {version}" if committed else f"code {version}, which no commit holds, so that it may be lost"
    yield said(
        REPEATABLE, POINTS[REPEATABLE], PASS if committed else WARN, data_hash[:8],
        f"data {data_hash}, {len(configuration['data'])} series; {code}; seed {configuration['seed']}; \"Run exactly again\" compares every trade",
    )  # fmt: skip
    yield said(
        CHECKER, POINTS[CHECKER], SKIP, f"{len(SUITES)}",
        f"planted cheats are caught and clean strategies pass in {', '.join(SUITES)}, which belong to the code; whether they were run on this version, {version}, no run can tell",
    )  # fmt: skip
