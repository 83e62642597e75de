"""Blocking work beside an event loop: the database, and clients that know no asyncio."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the call returns or raises, from a thread of its own whose database connections are given back after it.

    The thread is a daemon: unlike asyncio.to_thread's it holds up no process that is asked to end, so a call has to bear
    being cut off at any instant, as by a power cut.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = context.run(call, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - raised where the result is awaited
            failure = error
        finally:
            connections.close_all()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, daemon=True, name=getattr(call, "__name__", "call")).start()
    return await future
