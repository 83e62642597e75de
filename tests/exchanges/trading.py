"""Rows of a trading account, written directly."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.models import User
from exchanges.models import Environment, Market, Position, TradingAccount, Venue

OPENED = datetime(2025, 1, 1, 12, tzinfo=UTC)


def make_user(email: str = "owner@example.com") -> User:
    return User.objects.create_user(email, "correct-horse-battery")


def make_market(symbol: str = "BTC/USDT:USDT", provenance: str = "file") -> Market:
    market = Market.objects.get(symbol=symbol, venue__slug="binance")
    market.provenance = provenance
    market.save(update_fields=["provenance"])
    return market


def make_account(user: User) -> TradingAccount:
    venue, _ = Venue.objects.get_or_create(slug="paper", defaults={"name": "Paper"})
    return TradingAccount.objects.get_or_create(
        user=user, venue=venue, environment=Environment.PAPER, name="Paper", defaults={"balance": Decimal(100), "peak_equity": Decimal(100)}
    )[0]


def make_position(user: User, market: Market | None = None, **changes) -> Position:
    values = {
        "account": make_account(user),
        "market": market or make_market(),
        "origin": "manual:test",
        "side": "long",
        "leverage": 5,
        "qty_opened": Decimal("0.002"),
        "qty": Decimal("0.002"),
        "entry_price": Decimal(50_000),
        "margin": Decimal(20),
        "initial_stop": Decimal(49_000),
        "stop_price": Decimal(49_000),
        "tp1": Decimal(51_000),
        "tp2": Decimal(52_000),
        "tp3": Decimal(53_000),
        "trail_distance": Decimal(800),
        "best_price": Decimal(50_000),
        "mark_price": Decimal(50_000),
        "marked_at": OPENED,
        "last_bar_ms": int(OPENED.timestamp() * 1000),
        "expires_at": OPENED + timedelta(hours=48),
        "opened_at": OPENED,
        "fees": Decimal("0.05"),
    }
    return Position.objects.create(**{**values, **changes})
