"""The test venue as a process of its own, for benchmarks and for tests that kill things, and a client of its control port."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


class Control:
    """control.py from outside: control.post("price", symbol="BTCUSDT", price=1.0), control.get("stats"). Raises HTTPError."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, name: str, **query: str) -> Any:
        return self._ask("GET", f"{name}?{urlencode(query)}" if query else name)

    def post(self, name: str, **told: Any) -> Any:
        return self._ask("POST", name, told)

    def delete(self, name: str) -> Any:
        return self._ask("DELETE", name)

    def script(self, route: str, kind: str, **how: Any) -> None:
        """Let a route fail, as TestVenue.script does."""
        self.post("faults", route=route, kind=kind, **how)

    def _ask(self, verb: str, name: str, told: dict[str, Any] | None = None) -> Any:
        body = None if told is None else json.dumps(told).encode()
        request = Request(f"{self.url}/_control/{name}", data=body, method=verb, headers={"Content-Type": "application/json"})
        with urlopen(request, timeout=WAIT_S) as reply:
            return json.load(reply)


class VenueProcess:
    """A context manager: `with VenueProcess(symbols="50", speed=60, limits=False) as venue: venue.url, venue.control`.

    Options are those of `python -m tests.venue`, with limits=False for --no-limits. The process ends with this one.
    """

    def __init__(self, *, limits: bool = True, port: int = 0, **options: Any) -> None:
        self._arguments = ["--follow-stdin", f"--port={port}", *([] if limits else ["--no-limits"])]
        self._arguments += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]

    def __enter__(self) -> "VenueProcess":
        command = [sys.executable, "-m", "tests.venue", *self._arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The test venue ended with code {self.process.wait()} before it served.")
        self.url: str = json.loads(line)["url"]
        self.control = Control(self.url)
        return self

    def __exit__(self, *exc: object) -> None:
        with self.process:  # closes its pipes and waits
            self.process.terminate()
