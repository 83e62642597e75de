"""The web process: `python -m traderai.web -b HOST -p PORT traderai.asgi:application` takes every option of Daphne, and is Daphne but for one thing.

Daphne keeps whatever a client does not read in memory without end, and drops only those that answer no ping: one that talks but never
reads is not even asked. Here a client that has been behind for ten seconds is cut off; a browser comes back and is told what is newest.
"""

import resource
import sys
import time
from typing import Any

import structlog
from daphne import cli, server
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

log = structlog.get_logger(__name__)

BEHIND_S = 10.0
CONNECT_S = 20


@implementer(IPushProducer)
class Backlog:
    """Since when more waits for this client than its transport's buffer takes (64 KiB beyond the system's own); None while it keeps up."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.since_s: float | None = None
        transport.unregisterProducer()  # the HTTP channel that the socket began as
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:  # noqa: N802  (Twisted's name, called at every write while it is full)
        if self.since_s is None:
            self.since_s = time.monotonic()

    def resumeProducing(self) -> None:  # noqa: N802
        self.since_s = None
        if self.transport.disconnecting:
            self.transport.unregisterProducer()  # a transport waits for its producer before it closes

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is lost."""

    @property
    def is_hopeless(self) -> bool:
        return self.since_s is not None and time.monotonic() - self.since_s > BEHIND_S


class Server(server.Server):
    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send" and protocol.backlog.is_hopeless:
            log.warning("a socket's client does not read; it is cut off", client=protocol.client_addr, path=protocol.path.decode())
            protocol.transport.abortConnection()
            return
        await super().handle_reply(protocol, message)
        if message["type"] == "websocket.accept":
            protocol.backlog = Backlog(protocol.transport)


class CommandLine(cli.CommandLineInterface):
    server_class = Server

    def __init__(self) -> None:
        super().__init__()
        # After a restart every browser comes back at once; one that is refused while it queues only comes again.
        self.parser.set_defaults(websocket_connect_timeout=CONNECT_S)


def allow_many_sockets() -> None:
    """Each socket is a descriptor, and Linux gives a process 1,024 unless it asks for all that it may have."""
    if sys.platform == "linux":
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    allow_many_sockets()
    CommandLine.entrypoint()
