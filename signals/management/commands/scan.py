"""manage.py scan: one pass over the markets, now."""

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchanges.models import Market
from signals.models import Rejection, Signal
from traderai.lib import clock
from traderai.lib.errors import UserError

if TYPE_CHECKING:
    from signals.scan import ScanReport


class Command(BaseCommand):
    help = "Scan the markets once: print the signals that were issued and the candidates that were rejected, with their reasons."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--symbols",
            nargs="+",
            metavar="SYMBOL",
            help="scan these only, e.g. BTC/USDT:USDT (default: every active market that never closes)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        from signals import scan  # numba and LightGBM: not for `manage.py help`

        symbols = named(options["symbols"])
        if symbols == []:
            raise CommandError("symbols: none given; name at least one, like BTC/USDT:USDT, or leave the option out")
        if symbols is None and not Market.objects.with_candles().around_the_clock().exists():
            raise CommandError("symbols: no market has candles; import or backfill them first")
        try:
            report = scan.run(symbols=symbols)
        except UserError as error:
            raise CommandError(error.message) from error
        self._tell(report, as_json=options["json"])
        if report.errors:
            raise CommandError("; ".join(report.errors))

    def _tell(self, report: "ScanReport", *, as_json: bool) -> None:
        known = [decision for decision in report.known if isinstance(decision, Signal)]
        known_rejections = [decision for decision in report.known if isinstance(decision, Rejection)]
        if as_json:
            document = {
                "scan": report.slot,
                "markets": report.markets,
                "issued": [signal_json(signal) for signal in report.issued],
                "rejected": [rejection_json(row) for row in report.rejected],
                "decided_before": [*map(signal_json, known), *map(rejection_json, known_rejections)],
                "errors": report.errors,
            }
            self.stdout.write(json.dumps(document, indent=2))
            return
        self.stdout.write(
            f"{report.markets} markets: {len(report.issued)} issued, {len(report.rejected)} rejected, {len(report.known)} decided before"
        )
        for word, signals in (("issued", report.issued), ("standing", known)):
            for signal in signals:
                self.stdout.write(f"{word:9} {line(signal)}")
        for word, rejections in (("rejected", report.rejected), ("before", known_rejections)):
            for row in rejections:
                self.stdout.write(f"{word:9} {row.market.symbol} {row.side or '-'} {row.code}: {row.reason}{_label(row)}")


def named(symbols: list[str] | None) -> list[str] | None:
    """The symbols that were typed, apart by commas or spaces; None when none was."""
    return None if symbols is None else [symbol.strip() for part in symbols for symbol in part.split(",") if symbol.strip()]


def line(signal: Signal) -> str:
    """A signal in one line."""
    chances = f"probability {signal.probability:.1%}, net {signal.net_profit_pct:.2f} %, expectancy {signal.expectancy_pct:+.2f} %"
    plan = f"entry {signal.entry:g}, stop {signal.stop:g}, TP {signal.tp1:g} / {signal.tp2:g} / {signal.tp3:g}"
    return f"{signal.market.symbol} {signal.side} {plan}; {chances}{_label(signal)}"


def _label(decision: Signal | Rejection) -> str:
    return " [SIMULATED MARKET]" if decision.market.is_simulated else ""


def signal_json(signal: Signal) -> dict[str, Any]:
    names = ("side", "status", "entry", "stop", "tp1", "tp2", "tp3", "trail_distance", "probability", "confidence", "agreement")
    more = ("gross_gain_pct", "cost_pct", "net_profit_pct", "expectancy_pct", "risk_reward", "sizing", "votes")
    return {
        "id": signal.pk,
        **_where(signal),
        "model_version": signal.model.version if signal.model else None,
        **{name: getattr(signal, name) for name in names + more},
        "expires_at": signal.expires_at.isoformat(),
    }


def rejection_json(row: Rejection) -> dict[str, Any]:
    return {**_where(row), "side": row.side, "code": row.code, "reason": row.reason, "numbers": row.numbers}


def _where(decision: Signal | Rejection) -> dict[str, Any]:
    bar = clock.from_ms(decision.bar_ms).isoformat() if decision.bar_ms else None
    return {"symbol": decision.market.symbol, "data": decision.market.provenance, "strategy": decision.strategy, "bar_open": bar}
