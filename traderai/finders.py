"""Static files that live in installed packages: nothing of third parties is kept in the repository, and nothing is fetched by the browser from elsewhere."""

import hashlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.checks import CheckMessage, Error
from django.core.files.storage import FileSystemStorage


class PackagedFile(NamedTuple):
    package: str
    path: str
    sha256: str


FILES = {
    # TradingView Lightweight Charts 5.1.0, Apache-2.0; the attribution link is in the footer and in every chart's caption.
    "vendor/lightweight-charts.js": PackagedFile(
        "litecharts", "js/lightweight-charts.js", "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"
    ),
}


class PackagedFilesFinder(BaseFinder):
    """Serves FILES under their own names. A file whose hash is not the pinned one fails `manage.py check`."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [problem for name, file in FILES.items() if (problem := _problem(name, file))]

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        found = _locate(FILES[path]) if path in FILES else None
        if find_all:
            return [str(found)] if found else []
        return str(found) if found else None

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Any]]:
        for name, file in FILES.items():
            found = _locate(file)
            if found and not matches_patterns(name, list(ignore_patterns or [])):
                yield name, _RenamedFile(name, found)


class _RenamedFile(FileSystemStorage):
    """A storage that knows one file, under another name than the disk's."""

    def __init__(self, name: str, location: Path) -> None:
        super().__init__(location=str(location.parent))
        self._served_as, self._file = name, location
        self.prefix = ""

    def path(self, name: str) -> str:
        return str(self._file) if name == self._served_as else super().path(name)


def _locate(file: PackagedFile) -> Path | None:
    """Where the installed package keeps the file; the package itself is not imported."""
    spec = find_spec(file.package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file.path
    return path if path.is_file() else None


def _problem(name: str, file: PackagedFile) -> CheckMessage | None:
    path = _locate(file)
    if path is None:
        return Error(
            f"{name} is missing: the package {file.package} does not hold {file.path}.",
            hint="Install requirements.lock again.",
            id="traderai.E001",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
        return Error(
            f"{name} from the package {file.package} is not the file that was reviewed.",
            hint="Review the new version, then pin its SHA-256 in traderai/finders.py.",
            id="traderai.E002",
        )
    return None
