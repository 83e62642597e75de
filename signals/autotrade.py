"""Auto-trade: every new signal is offered to the strategy configurations that asked for it (requirement S6).

The risk gate decides, and its answer is the Order row: READY, or DENIED with the reason. The order's origin is the signal, once per account,
so a doubled message, two workers or two configurations of one account never make two orders.

A model that has not shown an edge after costs out of fold (signals.training.edge), by the entry rule in force and on the signal's own market, gives
signals to look at, and none that is traded without a person: nothing starts under such a champion, and what was started before waits. A simulated market is exempt: there is only play money on it.

Which signals a configuration takes: those issued after it was started, as long as they are open; and, when it is started, those that are
open and whose bar is still the newest, because only their entry is not yet past.
"""

from dataclasses import asdict
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat

from exchanges import candles
from exchanges.models import Market, Order, Provenance
from exchanges.order_states import OrderState
from exchanges.ports import EntryPlan
from signals import events, processing, registry
from signals.models import ModelVersion, Signal, StrategyConfig
from signals.models.signal import SignalQuerySet
from signals.strategies import TEMPLATES, ml_ensemble, template
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

log = structlog.get_logger(__name__)

STATUS_ORDERS = 20
ORIGIN = "signal:"
SHOWN_ONLY = "Its signals are shown, and not traded by themselves."
"""What it means that a model's signals are held."""


class CannotStart(UserError):
    """The configuration may not trade as it stands."""


class Status(NamedTuple):
    """One configuration as its owner sees it: `orders` are the newest that signals of its strategy made on its account since it was started.
    `held` says why the champion's signals are not traded now; "" when they are."""

    config: StrategyConfig
    orders: list[Order]
    made: int
    denied: int
    held: str


def held(model: ModelVersion | None, market: Market | None = None) -> str:
    """Why this model's signals (on `market`) are not traded by themselves, as a sentence; "" when they are, and when there is no model to ask about."""
    if model is None or model.provenance == Provenance.SIMULATED:
        return ""
    edge = model.metrics.get("edge")
    name = f"Model {model.scope} v{model.version}"
    if edge is None:
        return f"{name} was trained before its trades out of fold were judged: train and promote a new one."
    if not edge["found"]:
        return f"{name} has shown no edge: {edge['reason']}."
    judged_by = model.metrics.get("trading", {}).get("rule")
    if judged_by is not None and judged_by != asdict(processing.entry_rule(ml_ensemble.TEMPLATE)):
        return f"{name} has shown its edge by another entry rule than the one in force: train and promote a new one, or set the rule back."
    if market is not None and (market.symbol not in model.symbols or market.venue.slug != model.venue_slug):
        return f"{name} has shown its edge on {', '.join(model.symbols)} at {model.venue_slug}, and not on {market.symbol} at {market.venue.slug}."
    return ""


def start(config: StrategyConfig) -> StrategyConfig:
    """Let `config` trade by itself from now on. Starting what runs changes nothing."""
    with transaction.atomic():
        current = StrategyConfig.objects.select_for_update(of=("self",)).select_related("account").get(pk=config.pk)
        if current.auto_trade:
            return current
        if not current.account.is_active:
            raise CannotStart("The account of this configuration is switched off: switch it on first.", field="account")
        if current.template not in TEMPLATES:
            raise CannotStart(
                f"The strategy {current.template!r} is no longer offered: create a configuration from another one.", field="template"
            )
        if reason := held(registry.champion()):
            raise CannotStart(f"{reason} {SHOWN_ONLY}")
        current.auto_trade, current.started_at, current.stopped_at = True, clock.now(), None
        current.save(update_fields=["auto_trade", "started_at", "stopped_at"])
        send_after_commit(events.autotrade_started, config_id=current.pk)
        return current


def stop(config: StrategyConfig) -> StrategyConfig:
    """No new orders from now on. Open positions keep their stops and take-profits; stopping what stands still changes nothing."""
    with transaction.atomic():
        current = StrategyConfig.objects.select_for_update().get(pk=config.pk)
        if current.auto_trade:
            current.auto_trade, current.stopped_at = False, clock.now()
            current.save(update_fields=["auto_trade", "stopped_at"])
        return current


def status(config: StrategyConfig, held_now: str | None = None) -> Status:
    """What `config` has done since it was last started. `held_now` is `held` of the champion; who asks for many configurations asks for it once."""
    if config.started_at is None:
        return Status(config, [], 0, 0, "")
    waits_for = "" if not config.auto_trade else held(registry.champion()) if held_now is None else held_now
    own = Signal.objects.filter(strategy=config.template)
    if config.symbols:
        own = own.filter(market__symbol__in=config.symbols)
    origins = own.annotate(origin=Concat(Value(ORIGIN), Cast("pk", CharField()))).values("origin")
    orders = Order.objects.filter(account=config.account, created_at__gte=config.started_at, origin__in=origins)
    if config.stopped_at is not None:
        orders = orders.filter(created_at__lte=config.stopped_at)
    denied = orders.filter(state=OrderState.DENIED).count()
    newest = list(orders.select_related("market").order_by("-id")[:STATUS_ORDERS])
    return Status(config, newest, orders.count() - denied, denied, waits_for)


def on_signal(signal_id: int) -> list[Order]:
    """Offer one signal to every configuration that wants it. Returns the orders, those that already stood included."""
    signal = _open_signals().filter(pk=signal_id).first()
    return [] if signal is None else _offer(signal, _takers(signal))


def take_open(config_id: int) -> list[Order]:
    """Offer the open signals of the newest bars to a configuration that was just started."""
    config = StrategyConfig.objects.trading().filter(pk=config_id, account__is_active=True).select_related("account").first()
    if config is None:
        return []
    waiting = [signal for signal in _open_signals().filter(strategy=config.template) if _wants(config, signal)]
    return [order for signal in processing.prioritise(waiting) for order in _offer(signal, [config])]


def sweep() -> list[Order]:
    """Find what a lost message left: open signals that a configuration wants and has no order for."""
    orders = []
    for signal in processing.prioritise(_open_signals()):
        served = set(Order.objects.filter(origin=origin(signal)).values_list("account_id", flat=True))
        orders += _offer(signal, [config for config in _takers(signal) if config.account_id not in served])
    return orders


def origin(signal: Signal) -> str:
    """The origin of every order that this signal makes."""
    return f"{ORIGIN}{signal.pk}"


def _open_signals() -> SignalQuerySet:
    return Signal.objects.open().select_related("market__venue", "model").order_by("id")


def _takers(signal: Signal) -> list[StrategyConfig]:
    """One configuration per account: the oldest that wants the signal."""
    trading = (
        StrategyConfig.objects.trading().filter(template=signal.strategy, account__is_active=True).select_related("account").order_by("id")
    )
    first: dict[int, StrategyConfig] = {}
    for config in trading:
        if _wants(config, signal):
            first.setdefault(config.account_id, config)
    return list(first.values())


def _wants(config: StrategyConfig, signal: Signal) -> bool:
    if config.symbols and signal.market.symbol not in config.symbols:
        return False
    if signal.confidence < config.min_confidence:
        return False
    if config.started_at is not None and signal.created_at >= config.started_at:
        return True
    return _newest_bar(signal.market) == signal.bar_ms


def _newest_bar(market: Market) -> int | None:
    return candles.last_open_ms(market, settings.BASE_TIMEFRAME)


def _offer(signal: Signal, configs: list[StrategyConfig]) -> list[Order]:
    """Hand the signal to the risk gate once per account; a signal that is over in the meantime goes to nobody."""
    from exchanges import execution  # its sizing compiles with numba; the web process starts and stops configurations without it

    if not configs or processing.why_over(signal):
        return []
    if reason := held(signal.model, signal.market) or held(registry.champion()):
        log.debug("signal held", signal=signal.pk, reason=reason)
        return []
    side = "buy" if signal.is_long else "sell"
    plan = entry_plan(signal)
    return [
        execution.submit(
            config.account, market=signal.market, side=side, origin=origin(signal), plan=plan, risk_profile=config.risk_profile
        )
        for config in configs
    ]


def entry_plan(signal: Signal) -> EntryPlan:
    """The signal's levels as the risk gate takes them."""
    return EntryPlan(
        reference_price=signal.entry,
        stop=signal.stop,
        tp1=signal.tp1,
        tp2=signal.tp2,
        tp3=signal.tp3,
        trail_distance=signal.trail_distance,
        max_hold_ms=round(signal.max_hold_hours * 3_600_000),
        decided_ms=signal.bar_ms + processing.bar_ms(signal.timeframe),
        shares=template(signal.strategy).plan.shares,  # the platform's own, whatever a model's barriers are
    )
