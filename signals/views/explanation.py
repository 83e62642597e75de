"""A signal in words and lines: what the detail page and the API show beside the bare numbers."""

from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple

from accounts.models import Profile
from exchanges import paper_accounts
from exchanges.models import Environment, Market, TradingAccount
from exchanges.risk.profiles import PROFILES
from signals import autotrade
from signals.models import Signal
from traderai.lib import clock

COST_LABELS = {
    "entry_fee_pct": "Fee of the entry, which takes liquidity",
    "entry_slippage_pct": "Slippage of the entry",
    "exit_fee_pct": "Fees of the take-profits, which rest in the book",
    "funding_pct": "Funding, as if held to the time limit",
}
LINES = (
    ("entry", "Entry", "entry"),
    ("stop", "Stop", "stop"),
    ("tp1", "TP1", "target"),
    ("tp2", "TP2", "target"),
    ("tp3", "TP3", "target"),
)
"""What a chart draws of a signal: attribute, label, kind of line."""
SHARES = ("30 %", "40 %", "30 %")


class Level(NamedTuple):
    """One price of the plan; `distance_pct` from the entry, positive towards profit."""

    name: str
    price: float
    distance_pct: float
    note: str


class OwnSize(NamedTuple):
    """The signal on the reader's own paper account. Money in the account's currency; `too_small` says why nothing fits."""

    profile: str
    equity: Decimal
    currency: str
    qty: Decimal
    leverage: int
    notional: Decimal
    margin: Decimal
    risk: Decimal
    risk_pct: float
    too_small: str


def price_places(market: Market) -> int:
    """Decimals of the market's prices, from its tick."""
    exponent = market.tick_size.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def levels(signal: Signal) -> list[Level]:
    """The plan from entry to the farthest take-profit."""
    sign = 1 if signal.is_long else -1

    def away(price: float) -> float:
        return sign * (price - signal.entry) / signal.entry * 100.0

    return [
        Level("Entry", signal.entry, 0.0, "Close of the deciding bar; the fill comes at the next bar's open at the earliest."),
        Level("Stop", signal.stop, away(signal.stop), "Closes everything that is still held."),
        Level("TP1", signal.tp1, away(signal.tp1), f"Closes {SHARES[0]}, then the stop goes to the entry and trails."),
        Level("TP2", signal.tp2, away(signal.tp2), f"Closes {SHARES[1]}."),
        Level("TP3", signal.tp3, away(signal.tp3), f"Closes the last {SHARES[2]}."),
    ]


def cost_lines(signal: Signal) -> list[tuple[str, float]]:
    """What the costs are made of, in % of notional; they add up to signal.cost_pct."""
    return [(label, signal.cost_lines[key]) for key, label in COST_LABELS.items() if key in signal.cost_lines]


def votes(signal: Signal) -> list[dict[str, Any]]:
    """Each voter with its reasons; `share` is a reason's strength relative to the strongest, 0 to 100."""
    out = []
    for vote in signal.votes:
        strongest = max((abs(reason["contribution"]) for reason in vote["reasons"]), default=0.0)
        reasons = [
            {
                **reason,
                "share": 100.0 * abs(reason["contribution"]) / strongest if strongest else 0.0,
                "speaks_for": reason["contribution"] >= 0.0,
            }
            for reason in vote["reasons"]
        ]
        out.append({**vote, "weight_pct": vote["weight"] * 100.0, "probability_pct": vote["probability"] * 100.0, "reasons": reasons})
    return out


def model(signal: Signal) -> dict[str, Any] | None:
    """The model that decided and how much it has learned from."""
    version = signal.model
    if version is None:
        return None
    return {
        "pk": version.pk,
        "version": version.version,
        "scope": version.scope,
        "symbols": version.symbols,
        "is_simulated": version.provenance == "simulated",
        "train_start": clock.from_ms(version.train_start_ms),
        "train_end": clock.from_ms(version.train_end_ms),
        "oos_start": clock.from_ms(version.oos_start_ms),
        "verdict": version.metrics.get("text", ""),
        "held": autotrade.held(version, signal.market),
        "samples": [(f"Independent samples, {side}", count) for side, count in version.metrics.get("independent_samples", {}).items()],
    }


def own_size(signal: Signal, user: Any) -> OwnSize | None:
    """What the reader's risk profile makes of the signal with the equity of his paper account; None before he has one."""
    account = TradingAccount.objects.for_user(user).filter(environment=Environment.PAPER, is_active=True).order_by("id").first()
    if account is None:
        return None
    profile = Profile.objects.filter(user=user).values_list("risk_profile", flat=True).first() or "medium"
    equity = paper_accounts.equity(account)
    share = signal.sizing[profile]
    market, entry = signal.market, Decimal(str(signal.entry))
    steps = (equity * Decimal(str(share["notional_pct"])) / 100 / entry / market.step_size).to_integral_value(rounding=ROUND_DOWN)
    qty = max(Decimal(0), steps * market.step_size)
    notional = qty * entry
    too_small = ""
    if qty <= 0 or notional < market.min_notional:
        too_small = f"{market.venue.name} takes {market.symbol} in steps of {market.step_size.normalize():f} and from {market.min_notional.normalize():f} {market.quote} on."
    ideal = equity * Decimal(str(share["notional_pct"])) / 100
    scale = notional / ideal if ideal else Decimal(0)
    risk = equity * Decimal(str(share["risk_pct"])) / 100 * scale
    return OwnSize(
        PROFILES[profile].name.capitalize(),
        equity,
        account.currency,
        qty,
        int(share["leverage"]),
        notional,
        notional / int(share["leverage"]),
        risk,
        share["risk_pct"],
        too_small,
    )
