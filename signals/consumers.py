"""/ws/signals/: tells signed-in people that the list of signals changed. The list itself is rendered by its view."""

import json
from typing import Any

from accounts.consumers import SignedInConsumer
from traderai.lib import groups


class SignalsConsumer(SignedInConsumer):
    """Forwards {"type": "signal", "what": "issued" or "ended", "signal_id": int}; listens to nothing."""

    async def prepare(self, user_id: int) -> int | None:
        await self.join(groups.SIGNALS)
        return None

    async def signal_news(self, event: dict[str, Any]) -> None:
        await self.send(json.dumps({"type": "signal", "what": event["what"], "signal_id": event["signal_id"]}))
