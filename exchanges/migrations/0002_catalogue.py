"""The venues this product knows and the instruments its tests and demo speak of. Facts are Binance's exchangeInfo; a backfill brings others."""

from django.db import migrations

VENUES = [
    # slug, name, maker and taker fee in bps of the lowest tier (perpetual futures)
    ("binance", "Binance", 2.0, 5.0),
    ("okx", "OKX", 2.0, 5.0),
    ("bybit", "Bybit", 2.0, 5.5),
    ("bitget", "Bitget", 2.0, 6.0),
    ("paper", "Paper", 2.0, 5.0),
]

PERPETUALS = [
    # base, tick size, step size, minimum notional, highest leverage, maintenance margin of the first tier in %
    ("BTC", "0.1", "0.001", "100", 125, 0.4),
    ("ETH", "0.01", "0.001", "20", 125, 0.4),
    ("BNB", "0.01", "0.01", "5", 75, 0.5),
    ("SOL", "0.01", "0.01", "5", 100, 0.5),
    ("XRP", "0.0001", "0.1", "5", 75, 0.5),
    ("ADA", "0.0001", "1", "5", 75, 0.5),
    ("DOGE", "0.00001", "1", "5", 75, 0.5),
    ("LTC", "0.01", "0.001", "20", 75, 0.5),
    ("LINK", "0.001", "0.01", "20", 75, 0.5),
    ("AVAX", "0.001", "1", "5", 75, 0.5),
    ("DOT", "0.001", "0.1", "5", 75, 0.5),
    ("TRX", "0.00001", "1", "5", 75, 0.5),
    ("BCH", "0.01", "0.001", "20", 75, 0.5),
    ("ETC", "0.001", "0.01", "20", 75, 0.5),
    ("UNI", "0.001", "1", "5", 75, 0.5),
    ("ATOM", "0.001", "0.01", "5", 50, 1.0),
    ("NEAR", "0.001", "1", "5", 75, 0.5),
    ("FIL", "0.001", "0.1", "5", 75, 0.5),
    ("APT", "0.0001", "0.1", "5", 75, 0.5),
    ("ARB", "0.0001", "0.1", "5", 75, 0.5),
    ("OP", "0.0001", "0.1", "5", 75, 0.5),
    ("SUI", "0.0001", "0.1", "5", 75, 0.5),
    ("AAVE", "0.01", "0.1", "5", 75, 0.5),
    ("INJ", "0.001", "0.1", "5", 50, 1.0),
]

SPOT = [
    # base, tick size, step size, minimum notional
    ("BTC", "0.01", "0.00001", "5"),
    ("ETH", "0.01", "0.0001", "5"),
    ("BNB", "0.01", "0.001", "5"),
    ("SOL", "0.01", "0.001", "5"),
    ("XRP", "0.0001", "0.1", "5"),
    ("ADA", "0.0001", "0.1", "5"),
    ("LTC", "0.01", "0.001", "5"),
]


def fill(apps, schema_editor):
    venue_model, market_model = apps.get_model("exchanges", "Venue"), apps.get_model("exchanges", "Market")
    for slug, name, maker_bps, taker_bps in VENUES:
        venue_model.objects.get_or_create(slug=slug, defaults={"name": name, "maker_bps": maker_bps, "taker_bps": taker_bps})
    binance = venue_model.objects.get(slug="binance")
    for base, tick, step, notional, leverage, maintenance in PERPETUALS:
        facts = {
            "tick_size": tick,
            "step_size": step,
            "min_notional": notional,
            "max_leverage": leverage,
            "maintenance_margin_pct": maintenance,
        }
        add(market_model, binance, f"{base}/USDT:USDT", base, "perpetual", facts)
    for base, tick, step, notional in SPOT:
        facts = {"tick_size": tick, "step_size": step, "min_notional": notional, "max_leverage": 1}
        add(market_model, binance, f"{base}/USDT", base, "spot", facts)


def add(market_model, venue, symbol, base, kind, facts):
    market_model.objects.get_or_create(venue=venue, symbol=symbol, defaults={"base": base, "quote": "USDT", "kind": kind, **facts})


class Migration(migrations.Migration):
    dependencies = [("exchanges", "0001_initial")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
