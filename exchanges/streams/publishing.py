"""Live updates to everyone who listens: the newest of each key into the cache, and one channel-layer message a call to the web processes' hubs.

A broker that is away costs that call's updates, never the stream that publishes them.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import isfinite
from typing import Any, Literal, TypeVar

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.cache import cache
from redis.exceptions import RedisError

from exchanges import live
from exchanges.live import Bar, Book, Feed, Tick, Update
from traderai.lib import groups

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

Kind = Literal["tick", "book", "feed"] | tuple[Literal["bar"], str]
BAR_KINDS: tuple[Kind, ...] = (("bar", "1m"), ("bar", "15m"))
KINDS: tuple[Kind, ...] = ("tick", *BAR_KINDS, "book", "feed")
UPDATES: dict[str, type[Update]] = {"tick": Tick, "bar": Bar, "book": Book, "feed": Feed}
FEED_KEPT_S = 30
"""Streams repeat how they are at least every 10 s: what has been silent for longer is not known to be live."""


def publish(updates: Sequence[Update]) -> None:
    """Tell everyone who listens. Of several updates with one key the last counts."""
    updates = _sound(updates)
    if not updates:
        return
    try:
        _remember(updates)
        async_to_sync(_send)(updates)
    except (OSError, RedisError) as error:
        log.warning("live updates not published", count=len(updates), error=str(error))


async def apublish(updates: Sequence[Update]) -> None:
    """`publish` from a running event loop."""
    updates = _sound(updates)
    if not updates:
        return
    try:
        await _in_thread(_remember, updates)
        await _send(updates)
    except (OSError, RedisError) as error:
        log.warning("live updates not published", count=len(updates), error=str(error))


def latest(market_id: int, kind: Kind) -> Update | None:
    """The newest update of this kind that was published; None when there is none or nobody can tell."""
    return next(iter(newest([market_id], [kind])), None)


def newest(market_ids: Iterable[int], kinds: Sequence[Kind] = KINDS) -> list[Update]:
    """The newest updates of these kinds of these markets in one round trip, as far as there are any; nothing while the broker is away."""
    names = {_name(kind, market_id): kind for market_id, kind in product(market_ids, kinds)}
    try:
        stored = cache.get_many(names)
    except (OSError, RedisError) as error:
        log.warning("live updates not readable", error=str(error))
        return []
    return [_restored(names[name], fields) for name, fields in stored.items()]


def forget(market_ids: Iterable[int]) -> None:
    """Nothing is known of these markets any more: what was told of them was not of now."""
    try:
        cache.delete_many([_name(kind, market_id) for kind, market_id in product(KINDS, market_ids)])
    except (OSError, RedisError) as error:
        log.warning("live updates not forgotten", error=str(error))


async def anewest(market_ids: Sequence[int], kinds: Sequence[Kind] = KINDS) -> list[Update]:
    """`newest` from a running event loop."""
    return await _in_thread(newest, market_ids, kinds)


async def _in_thread(call: Callable[..., Result], *args: Any) -> Result:
    """Without the caller's context, which is why it is not sync_to_async: Django keeps one cache client per context, so that every
    socket would hold a connection to Redis of its own."""
    return await asyncio.get_running_loop().run_in_executor(None, call, *args)


def _sound(updates: Sequence[Update]) -> list[Update]:
    """Those that JSON can say: a browser reads no NaN."""
    sound = [update for update in updates if _is_finite(update)]
    if len(sound) < len(updates):
        log.warning("live updates with numbers that are none", keys=[update.key for update in updates if update not in sound])
    return sound


def _is_finite(update: Any) -> bool:
    if isinstance(update, tuple):
        return all(map(_is_finite, update))
    return not isinstance(update, float) or isfinite(update)


def _remember(updates: Sequence[Update]) -> None:
    feeds = {_name_of(update): update._asdict() for update in updates if isinstance(update, Feed)}
    others = {_name_of(update): update._asdict() for update in updates if not isinstance(update, Feed)}
    if others:
        cache.set_many(others, timeout=None)
    if feeds:
        cache.set_many(feeds, timeout=FEED_KEPT_S)


async def _send(updates: Sequence[Update]) -> None:
    layer = get_channel_layer()
    await layer.group_send(groups.LIVE, {"type": "live", "updates": [live.message(update) for update in updates]})


def _name_of(update: Update) -> str:
    """tick:7, bar:7:15m"""
    return ":".join(map(str, update.key))


def _name(kind: Kind, market_id: int) -> str:
    return f"bar:{market_id}:{kind[1]}" if isinstance(kind, tuple) else f"{kind}:{market_id}"


def _restored(kind: Kind, fields: dict[str, Any]) -> Update:
    """The update from its cached fields; JSON knows no tuples."""
    update = UPDATES[kind if isinstance(kind, str) else kind[0]](**fields)
    if isinstance(update, Book):
        return update._replace(bids=_levels(update.bids), asks=_levels(update.asks))
    return update


def _levels(levels: Iterable[Iterable[float]]) -> Any:
    return tuple(tuple(level) for level in levels)
