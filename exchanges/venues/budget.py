"""One budget of requests per venue, shared by every thread and process of an installation: no worker may know how many others there are.

Each bucket of exchanges.venues.limits is paced by the generic cell rate algorithm: one number, the moment at which everything granted so
far is paid for. Whoever asks is given a slot and sleeps until then, so waiting is fair, and a process that dies in its sleep costs its slot
and nothing else. The state lives in Redis; without Redis, or while it is away, in a locked file that the processes of this machine share.
The venue's own hosts and a gateway put before them (settings.VENUE_BASE_URLS) are counted apart. What is kept are moments: a ban belongs to the
address, outlives the process that was told of it, and is over when the venue said it would be.
"""

import fcntl
import json
import os
import time
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from exchanges.ports import VenueUnavailable
from exchanges.venues.limits import LIMITS

log = structlog.get_logger(__name__)

PATIENCE_S = 20.0
BURST_SHARE = 0.1
TRY_REDIS_AGAIN_S = 15.0
LONGEST_BLOCK_S = 3 * 86_400.0
"""What Binance bans for at most."""
BLOCKED, SEEN = "blocked", "seen"
State = dict[str, float]
"""Moments in seconds by name: SEEN (the newest one known), BLOCKED (nobody asks before it), and of each bucket when it is paid up."""


class Pace(NamedTuple):
    """`burst` at once and then `rate` a second."""

    rate: float
    burst: float


def pace(venue: str, bucket: str) -> Pace:
    """The venue's limit, less what settings.VENUE_RATE_SHARE leaves to others. burst + rate x period is what may pass in any period."""
    limit = LIMITS[venue][bucket]
    allowed = limit.cost * settings.VENUE_RATE_SHARE
    burst = allowed * BURST_SHARE
    return Pace((allowed - burst) / limit.per_s, burst)


def take(venue: str, bucket: str, cost: float = 1.0, *, patience_s: float = PATIENCE_S) -> None:
    """Wait until a request of this cost may be sent. Raises VenueUnavailable, with retry_after_s, when that is more than patience_s away."""
    rate, burst = pace(venue, bucket)
    give_up = time.monotonic() + patience_s
    while True:
        left_s = max(0.0, give_up - time.monotonic())
        wait_s = _ask(venue, "take", bucket, cost, rate, burst, left_s)
        if wait_s <= 0.0:
            return
        if wait_s > left_s:
            failure = VenueUnavailable(f"{venue} may be asked again in {wait_s:.0f} s: its limit on requests is used up")
            failure.retry_after_s = wait_s
            raise failure
        time.sleep(wait_s)
        if _ask(venue, BLOCKED, BLOCKED) <= 0.0:
            return  # else the venue has turned somebody away meanwhile, and the slot is void


def block(venue: str, seconds: float) -> None:
    """The venue wants to be left alone: nobody asks it anything for so long."""
    _ask(venue, "hold", BLOCKED, min(seconds, LONGEST_BLOCK_S))


def learn(venue: str, bucket: str, *, used: float, into_s: float) -> None:
    """The venue has counted `used` in its own period, which began `into_s` seconds ago, maybe from other programs at this address, too:
    count on as if all of it had been taken here."""
    hold_s = min(used / pace(venue, bucket).rate, LIMITS[venue][bucket].per_s) - into_s
    if hold_s > 0.0:
        _ask(venue, "hold", bucket, hold_s)


def step(state: State, now: float, order: str, name: str, *numbers: float) -> float:
    """Carry out an order on the state at the moment `now`; returns the seconds to wait. A clock that was put back puts back every moment.

    LUA says the same to Redis.
    """
    back = state.get(SEEN, now) - now
    if back > 0.0:
        state.update({each: moment - back for each, moment in state.items()})
    state[SEEN] = now
    blocked = state.get(BLOCKED, 0.0)
    if order == BLOCKED:
        return blocked - now
    if order == "hold":
        state[name] = max(state.get(name, 0.0), now + numbers[0])
        return 0.0
    cost, rate, burst, patience_s = numbers
    paid = max(state.get(name, 0.0), blocked, now) + cost / rate
    wait_s = max(paid - burst / rate, blocked) - now
    if wait_s <= patience_s:
        state[name] = paid
    return wait_s


LUA = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local order, name = ARGV[1], ARGV[2]
local function at(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) end
local function put(field, moment) redis.call('HSET', KEYS[1], field, string.format('%.6f', moment)) end
local back = at('seen') - now
if back > 0 then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do put(field, at(field) - back) end
end
put('seen', now)
redis.call('EXPIRE', KEYS[1], 172800)
local blocked = at('blocked')
local wait = 0
if order == 'blocked' then
  wait = blocked - now
elseif order == 'hold' then
  put(name, math.max(at(name), now + ARGV[3]))
else
  local cost, rate, burst, patience = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
  local paid = math.max(at(name), blocked, now) + cost / rate
  wait = math.max(paid - burst / rate, blocked) - now
  if wait <= patience then put(name, paid) end
end
return string.format('%.6f', wait)
"""


class _Outage:
    """While Redis is away it is tried again now and then; that it went and came back is said once."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._told = False

    def lasts(self) -> bool:
        return time.monotonic() < self._until_s

    def begin(self, error: Exception) -> None:
        self._until_s = time.monotonic() + TRY_REDIS_AGAIN_S
        if not self._told:
            self._told = True
            log.warning("Redis is away: the budget of requests is shared by a file", error=str(error))

    def end(self) -> None:
        if self._told:
            self._told = False
            log.warning("Redis is back: the budget of requests is shared there again")


_outage = _Outage()


def _ask(venue: str, order: str, name: str, *numbers: float) -> float:
    account = f"{venue}@{settings.VENUE_BASE_URLS[venue]}" if venue in settings.VENUE_BASE_URLS else venue
    if settings.REDIS_URL and not _outage.lasts():
        try:
            wait_s = float(_script(settings.REDIS_URL)(keys=[f"traderai:budget:{account}"], args=[order, name, *numbers]))
        except (redis.RedisError, OSError, ValueError) as error:  # ValueError: an address that is none
            _outage.begin(error)
        else:
            _outage.end()
            return wait_s
    return _in_file(account, order, name, *numbers)


@cache
def _script(url: str) -> Script:
    # One retry at once: connections of the pool are broken after a restart of the server. Its default pauses for seconds.
    client = redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 1))
    return client.register_script(LUA)


def _in_file(account: str, order: str, name: str, *numbers: float) -> float:
    """The state is the file's first line, written in one call: whoever is killed leaves the old line or the new one."""
    try:
        settings.RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(settings.RUN_DIR / f"budget-{quote(account, safe='@')}.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = _read(os.pread(file, 65_536, 0))
            wait_s = step(state, time.time(), order, name, *numbers)
            line = json.dumps(state).encode() + b"\n"
            os.pwrite(file, line, 0)
            os.ftruncate(file, len(line))
        finally:
            os.close(file)
    except OSError as error:
        raise VenueUnavailable(
            f"The budget of requests cannot be kept in {settings.RUN_DIR} ({error.strerror}); free or repair that disk"
        ) from error
    return wait_s


def _read(content: bytes) -> State:
    try:
        found = json.loads(content.partition(b"\n")[0] or b"{}")
        return {str(name): float(moment) for name, moment in found.items()}
    except (ValueError, AttributeError, TypeError):
        log.warning("the budget's file was unreadable and begins anew")
        return {}
