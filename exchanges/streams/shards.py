"""Which process streams which symbols, and the claim that lets no two of them stream the same ones.

A claim is a lock on a file in RUN_DIR, which the kernel gives back when its owner dies, and with Redis a lease besides, which holds
between machines and lapses with its owner.
"""

import asyncio
import fcntl
import os
import re
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

import redis
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from traderai.lib import threads
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

LEASE_S = 15
RENEW_S = 5.0
MOST_SHARDS = 64
TAKE_OVER = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[2])
return 1
"""
GIVE_BACK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Claimed(UserError):
    """Another process streams these markets."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts."""

    index: int = 1
    count: int = 1

    def holds(self, symbol: str) -> bool:
        """Whether this part is the symbol's: the same answer in every process and release."""
        return zlib.crc32(symbol.encode()) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def parse(text: str) -> Shard:
    """2/4 is the second of four. Raises UserError."""
    match = re.fullmatch(r"([0-9]{1,3})/([0-9]{1,3})", text.strip(), re.ASCII)
    shard = Shard(int(match[1]), int(match[2])) if match else None
    if shard is None or not 1 <= shard.index <= shard.count <= MOST_SHARDS:
        raise UserError(f"shard: {text!r} is no part; write 1/2 for the first of two processes, at most {MOST_SHARDS}", field="shard")
    return shard


class Claim:
    """The right to stream one shard of a venue's markets, or to play history as them. A context manager; raises Claimed when it is taken."""

    def __init__(self, venue: str, shard: Shard = WHOLE) -> None:
        self.venue, self.shard = venue, shard
        self._token = f"{os.uname().nodename}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._files: list[int] = []
        self._redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, decode_responses=True) if settings.REDIS_URL else None

    def __enter__(self) -> "Claim":
        try:
            self._lock_files()
            self._take_lease()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        while self._files:
            os.close(self._files.pop())
        if self._redis is not None:
            try:
                self._redis.eval(GIVE_BACK, 1, self._key(self.shard), self._token)
            except RedisError as error:
                log.warning("lease not given back; it lapses by itself", venue=self.venue, shard=str(self.shard), error=str(error))

    async def keep(self) -> None:
        """Renew the lease for ever. Raises Claimed when another process has taken it while Redis or this process was away."""
        while True:
            await asyncio.sleep(RENEW_S)
            await threads.run(self._take_lease)

    def _lock_files(self) -> None:
        """This shard's own lock, and proof that nobody divides the venue in another way."""
        name = re.compile(rf"streams-{re.escape(self.venue)}-\d+of\d+\.lock")
        others = [path for path in Path(settings.RUN_DIR).iterdir() if name.fullmatch(path.name) and path != self._path()]
        for path in others:
            if not path.name.endswith(f"of{self.shard.count}.lock"):
                os.close(self._lock(path))
        self._files.append(self._lock(self._path()))

    def _lock(self, path: Path) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise self._taken(path.stem.rpartition("-")[2].replace("of", "/")) from None
        return handle

    def _take_lease(self) -> None:
        """A lease that cannot be had because Redis is away is asked for again; the lock on the file holds on this machine meanwhile."""
        if self._redis is None:
            return
        try:
            if not self._redis.eval(TAKE_OVER, 1, self._key(self.shard), self._token, LEASE_S):
                raise self._taken(str(self.shard))
            for key in self._redis.scan_iter(f"{self._prefix()}*", count=1000):
                part = key.removeprefix(self._prefix())
                if not part.endswith(f"/{self.shard.count}"):
                    raise self._taken(part)
        except RedisError as error:
            log.warning("lease not renewed; Redis is away", venue=self.venue, shard=str(self.shard), error=str(error))

    def _taken(self, part: str) -> Claimed:
        return Claimed(
            f"shard: another process streams or replays part {part} of {self.venue} already; stop it first, or divide live streams with "
            f"--shard 1/2 and 2/2",
            field="shard",
        )

    def _path(self) -> Path:
        return Path(settings.RUN_DIR) / f"streams-{self.venue}-{self.shard.index}of{self.shard.count}.lock"

    def _prefix(self) -> str:
        return f"traderai:streams:{self.venue}:"

    def _key(self, shard: Shard) -> str:
        return f"{self._prefix()}{shard}"
