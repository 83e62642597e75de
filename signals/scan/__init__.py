"""One pass over the markets: newest closed bar in, signals and rejections out (requirements S1 to S4).

Everything a candidate is judged by is shared with the backtest: features, plan, net-profit filter. A pass is idempotent per
(market, strategy, bar): what was decided stays decided. No market can stop another: its failure is logged, noted on the ScanRun
and kept as a rejection.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction

from exchanges import candles
from exchanges.models import Market
from signals import processing, registry
from signals.models import Rejection, ScanRun, Signal
from signals.ports import Template
from signals.scan import judgement
from signals.scan.judgement import Champion, Context, Refused
from signals.strategies import TEMPLATES
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ScanReport:
    """What a pass did. `known` are decisions that an earlier pass had made on the same bars; `skipped`: the slot was taken."""

    slot: str
    markets: int = 0
    skipped: bool = False
    issued: list[Signal] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    known: list[Signal | Rejection] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Pass:
    """What one pass carries from market to market."""

    run: ScanRun
    report: ScanReport
    context: Context
    newest: dict[int, int] = field(default_factory=dict)


def run(*, slot: str | None = None, symbols: Iterable[str] | None = None) -> ScanReport:
    """Scan all active markets that have candles and never close, or those named. A `slot` that was scanned before is left alone.

    Raises exchanges.candles.UnknownSymbol, before anything is stored, when a symbol is not listed.
    """
    if symbols is None:
        markets = list(Market.objects.with_candles().around_the_clock().select_related("venue").order_by("symbol", "id"))
    else:
        markets = [candles.find_market(symbol) for symbol in dict.fromkeys(symbols)]
    return _scan(slot or f"manual:{uuid.uuid4().hex}", markets)


def run_bar(*, bar_ms: int) -> ScanReport | None:
    """Scan the markets whose newest bar opened at `bar_ms` and was not looked at yet; None when there is none.

    Each of the bar's markets nudges a scan as its candle closes. The first takes all that are there, later ones what came in
    between, the rest find nothing to do; the slot is made of the bar and those markets, so a doubled nudge is harmless.
    """
    markets = _unseen(bar_ms)
    if not markets:
        return None
    digest = hashlib.sha256(",".join(str(market.pk) for market in markets).encode()).hexdigest()[:8]
    return _scan(f"bar:{bar_ms}:{digest}", markets)


def _unseen(bar_ms: int) -> list[Market]:
    seen = set(Signal.objects.filter(bar_ms=bar_ms).values_list("market_id", flat=True))
    seen |= set(Rejection.objects.filter(bar_ms=bar_ms).values_list("market_id", flat=True))
    waiting = Market.objects.with_candles().around_the_clock().exclude(pk__in=seen).select_related("venue").order_by("symbol", "id")
    return [market for market in waiting if candles.last_open_ms(market, settings.BASE_TIMEFRAME) == bar_ms]


def _scan(slot: str, markets: list[Market]) -> ScanReport:
    report = ScanReport(slot, markets=len(markets))
    run = _claim(slot, len(markets))
    if run is None:
        report.skipped = True
        return report
    current = Pass(run, report, _context(report))
    candidates: list[Signal] = []
    for market in markets:
        _guarded(current, market, partial(_collect, current, market, candidates))
    for signal in processing.prioritise(candidates):
        _guarded(current, signal.market, partial(_admit, current, signal))
    run.finished_at, run.error = clock.now(), "; ".join(report.errors)
    run.issued, run.rejected = len(report.issued), len(report.rejected)
    run.save(update_fields=["finished_at", "error", "issued", "rejected"])
    log.info("scan done", slot=slot, markets=len(markets), issued=run.issued, rejected=run.rejected, errors=len(report.errors))
    return report


def _collect(current: Pass, market: Market, candidates: list[Signal]) -> None:
    candidates += _look(current, market)


def _admit(current: Pass, signal: Signal) -> None:
    _settle(current, processing.admit(signal))


def _claim(slot: str, markets: int) -> ScanRun | None:
    try:
        with transaction.atomic():
            return ScanRun.objects.create(slot=slot, markets=markets)
    except IntegrityError:
        return None


def _context(report: ScanReport) -> Context:
    version = registry.champion()
    if version is None:
        return Context(None, "No model has been trained and promoted yet.")
    try:
        return Context(Champion(version, registry.load(version)))
    except UserError as error:
        log.error("the champion could not be loaded", model=version.pk, error=error.message)  # noqa: TRY400  (it says all there is)
        report.errors.append(error.message)
        return Context(None, f"{error.message[0].upper()}{error.message[1:]}.")
    except Exception as error:
        log.exception("the champion could not be loaded", model=version.pk)
        report.errors.append(f"model v{version.version}: {error}")
        return Context(None, f"Model v{version.version} could not be loaded: train a new one.")


def _guarded(current: Pass, market: Market, act: Callable[[], None]) -> None:
    """Run `act`; whatever goes wrong with one market becomes its rejection."""
    try:
        act()
    except Exception as error:
        log.exception("scan of a market failed", symbol=market.symbol, slot=current.run.slot)
        what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        current.report.errors.append(f"{market.symbol}: {what}")
        for template in TEMPLATES.values():
            _reject(current, market, template, Refused("error", what))


def _settle(current: Pass, decision: Signal | Rejection) -> None:
    """Note a decision in the report: as new when this pass made it."""
    if decision.scan_id != current.run.pk:
        current.report.known.append(decision)
    elif isinstance(decision, Signal):
        current.report.issued.append(decision)
    else:
        current.report.rejected.append(decision)


def _look(current: Pass, market: Market) -> list[Signal]:
    """The unsaved signals of one market, one per strategy at most. Rejections are stored on the way."""
    processing.expire([market])
    newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME)
    if newest is not None:
        current.newest[market.pk] = newest
    found = []
    for template in TEMPLATES.values():
        known = newest is not None and processing.decided(market, template.slug, newest)
        if known:
            _settle(current, known)
            continue
        try:
            signal = judgement.judge(current.context, market, template, newest)
        except Refused as refusal:
            _reject(current, market, template, refusal)
        else:
            signal.scan = current.run
            found.append(signal)
    return found


def _reject(current: Pass, market: Market, template: Template, refusal: Refused) -> None:
    rejection = Rejection(
        market=market,
        strategy=template.slug,
        scan=current.run,
        bar_ms=current.newest.get(market.pk, 0),
        side=refusal.side,
        code=refusal.code,
        reason=refusal.reason,
        numbers=refusal.numbers,
    )
    _settle(current, processing.reject(rejection))
