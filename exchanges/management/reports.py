"""What the import commands tell about what they did."""

import json
from typing import Any

from exchanges.candles.transfer import Imported

SHOWN = 10  # bad rows listed one by one


def as_json(imported: Imported, *, seconds: float) -> str:
    market, report = imported
    facts: dict[str, Any] = {
        "symbol": market.symbol,
        "venue": market.venue.slug,
        "source": market.provenance,
        "rows": report.rows,
        "inserted": report.inserted,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "skipped": len(report.bad),
        "bad_rows": [bad._asdict() for bad in report.bad],
        "notes": list(report.notes),
        "seconds": round(seconds, 3),
    }
    return json.dumps(facts)


def as_lines(imported: Imported, *, what: str, seconds: float) -> list[str]:
    market, report = imported
    lines = [
        f"{market.symbol} on {market.venue.slug}: {report.rows:,} {what} read, {report.inserted:,} new, {report.updated:,} corrected, "
        f"{report.unchanged:,} known already ({seconds:.2f} s)"
    ]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"left out {bad}" for bad in report.bad[:SHOWN]]
    if len(report.bad) > SHOWN:
        lines.append(f"left out {len(report.bad) - SHOWN:,} more; --json lists every one")
    return lines
