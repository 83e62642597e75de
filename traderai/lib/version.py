"""Which code this is: what a result is stored with, so that a later one can be told apart from it."""

import hashlib
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("accounts", "exchanges", "signals", "backtesting", "gamification", "traderai")
CHANGED = "-dirty"
GIT_SECONDS = 10


@cache
def code_version() -> str:
    """The commit of a clean checkout (`git describe`); else that, or the package's version, with a hash of the source files behind a plus.

    Told once a process: what runs is what was loaded then.
    """
    described = describe(ROOT)
    if described and not described.endswith(CHANGED):
        return described
    return f"{described or package_version(ROOT)}+{sources_hash(ROOT)}"


def describe(root: Path) -> str:
    """What `git describe --always --dirty` says of a checkout; empty where there is none, or no git."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ""
    command = [git, "-C", str(root), "describe", "--always", "--tags", f"--dirty={CHANGED}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)  # noqa: S603  (our own arguments, no shell)
    return found.stdout.strip() if found.returncode == 0 else ""


def package_version(root: Path) -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def sources_hash(root: Path) -> str:
    """Eight hex digits over names and contents of every module of the product."""
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
