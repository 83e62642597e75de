"""WebSocket paths (requirement W2)."""

from django.urls import path

from exchanges.consumers import MarketConsumer, MarketsConsumer, PositionsConsumer
from signals.consumers import SignalsConsumer

websocket_urlpatterns = [
    path("ws/positions/<int:user_id>/", PositionsConsumer.as_asgi()),
    path("ws/market/<path:symbol>/", MarketConsumer.as_asgi()),
    path("ws/markets/", MarketsConsumer.as_asgi()),
    path("ws/signals/", SignalsConsumer.as_asgi()),
]
