import asyncio
import os
import subprocess
import sys

import pytest

from exchanges.streams import shards
from exchanges.streams.shards import Claim, Claimed, Shard
from traderai.lib.errors import UserError

pytestmark = pytest.mark.redis  # for its leases
SYMBOLS = [f"COIN{number}/USDT:USDT" for number in range(200)]


@pytest.fixture(autouse=True)
def run_dir(settings, tmp_path):
    settings.RUN_DIR = tmp_path


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_symbol_is_in_exactly_one_part(count):
    parts = [{symbol for symbol in SYMBOLS if Shard(index, count).holds(symbol)} for index in range(1, count + 1)]
    assert set.union(*parts) == set(SYMBOLS)
    assert sum(map(len, parts)) == len(SYMBOLS)
    assert min(map(len, parts)) >= len(SYMBOLS) / count / 2


def test_a_symbol_stays_in_its_part_for_ever():
    assert [Shard(1, 4).holds(symbol) for symbol in SYMBOLS[:6]] == [False, False, True, True, False, False]


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/65", "a/b", "1/2/3", "-1/2", "１/２"])
def test_it_refuses_a_part_that_is_none(text):
    with pytest.raises(UserError, match="write 1/2 for the first of two processes") as caught:
        shards.parse(text)
    assert caught.value.field == "shard"


def test_it_reads_a_part():
    assert shards.parse(" 2/4 ") == Shard(2, 4)


def test_a_second_owner_of_a_part_is_refused():
    with Claim("binance", Shard(1, 2)), pytest.raises(Claimed, match="replays part 1/2 of binance already"), Claim("binance", Shard(1, 2)):
        pass
    with Claim("binance", Shard(1, 2)):
        pass


def test_parts_of_one_division_and_other_venues_go_together():
    with Claim("binance", Shard(1, 2)) as first, Claim("binance", Shard(2, 2)) as second, Claim("okx", Shard(1, 1)) as other:
        assert [str(claim.shard) for claim in (first, second, other)] == ["1/2", "2/2", "1/1"]


def test_another_division_of_the_same_venue_is_refused():
    with Claim("binance", Shard(1, 1)), pytest.raises(Claimed, match="replays part 1/1 of binance already"), Claim("binance", Shard(2, 3)):
        pass
    with Claim("binance", Shard(2, 3)):
        pass


@pytest.mark.servers
async def test_a_lease_holds_between_machines_and_lapses_with_its_owner(settings, tmp_path, monkeypatch):
    if not settings.REDIS_URL:
        pytest.skip("needs Redis")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Claim("binance", Shard(1, 2)) as owner:
        settings.RUN_DIR = elsewhere
        for shard in (Shard(1, 2), Shard(1, 1)):
            with pytest.raises(Claimed), Claim("binance", shard):
                pass
        with Claim("binance", Shard(2, 2)):
            pass
        monkeypatch.setattr(shards, "RENEW_S", 0.05)
        keeping = asyncio.create_task(owner.keep())
        owner._redis.set(owner._key(owner.shard), "somebody else", ex=1)
        with pytest.raises(Claimed):
            await asyncio.wait_for(keeping, 2.0)
        owner._redis.delete(owner._key(owner.shard))
        with Claim("binance", Shard(1, 2)):
            pass


def test_a_dead_owner_leaves_its_part_to_others(tmp_path):
    code = (
        "import os, sys, django; django.setup()\n"
        "from django.conf import settings; from pathlib import Path; settings.RUN_DIR = Path(sys.argv[1]); settings.REDIS_URL = ''\n"
        "from exchanges.streams.shards import Claim, Shard\n"
        "Claim('binance', Shard()).__enter__(); print('held', flush=True); sys.stdin.read()\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    try:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(Claimed), Claim("binance", Shard()):
            pass
    finally:
        owner.kill()
        owner.wait()
    with Claim("binance", Shard()):
        pass
