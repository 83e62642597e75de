"""manage.py check_drift: compare the newest bars with what the champions learned from, now."""

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from signals import registry
from traderai.lib import clock
from traderai.lib.errors import UserError

if TYPE_CHECKING:
    from signals.models import DriftReport


class Command(BaseCommand):
    help = (
        "Look whether the features and answers of a scope's champion are still distributed as in its training. A drift asks for a training."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scope", default="default", help="Registry scope whose champion is looked at (default: default).")
        parser.add_argument("--days", type=int, default=None, help="Days before the newest bar (default: DRIFT_WINDOW_DAYS).")
        parser.add_argument("--json", action="store_true", help="Print every column as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        from signals.drift import checks  # features and learners: not for `manage.py help`

        if options["days"] is not None and options["days"] < 1:
            raise CommandError("days: must be 1 or more")
        model = registry.champion(options["scope"])
        if model is None:
            raise CommandError(f"scope: {options['scope']!r} has no champion; train one first (manage.py train --symbols ...)")
        try:
            report = checks.check(model, days=options["days"])
        except UserError as error:
            raise CommandError(error.message) from error
        self.stdout.write(json.dumps(told(report), indent=2) if options["json"] else text(report))


def told(report: "DriftReport") -> dict[str, Any]:
    """A report for programs."""
    plain = ("name", "psi", "ks", "p_value", "independent", "is_tested", "is_different", "is_prediction")
    return {
        "model": report.model_id,
        "day": report.day.isoformat(),
        "start": clock.from_ms(report.start_ms).isoformat(),
        "end": clock.from_ms(report.end_ms).isoformat(),
        "rows": report.rows,
        "reference": report.source,
        "verdict": report.verdict,
        "reason": report.reason,
        "limits": report.limits,
        "tested": report.tested,
        "different": report.different,
        "retrain": report.retrain_id,
        "retrain_note": report.retrain_note,
        "columns": [{name: getattr(row, name) for name in plain} for row in report.features.order_by("-psi")],
    }


def text(report: "DriftReport") -> str:
    """The same in a few lines."""
    lines = [f"{report.model}: {report.get_verdict_display().lower()} on {report.day} ({report.rows} bars). {report.reason}"]
    if report.retrain_id:
        lines.append(f"Training {report.retrain_id} was asked for.")
    elif report.retrain_note:
        lines.append(f"No training was asked for: {report.retrain_note}.")
    return "\n".join(lines)
