"""What a process loads as it starts. Heavy libraries belong to workers; the core belongs to nobody."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "ccxt",
    "numba",
    "talib",
    "lightgbm",
    "xgboost",
    "sklearn",
    "onnx",
    "onnxruntime",
    "pyarrow",
    "torch",
    "pandas",
    "alpaca",
    "kiteconnect",
)
FRAMEWORK = ("django", "ninja", "channels", "celery", "kombu", "redis", "accounts.models", "exchanges.models", "signals.models")
APPS = ("accounts", "exchanges", "signals", "backtesting", "gamification", "traderai")
EDGES = ("urls", "views", "api", "consumers", "admin", "forms", "receivers", "tasks", "routing", "context")


def loaded_by(modules: list[str], *, django: bool) -> set[str]:
    """Every module that a fresh interpreter holds after importing `modules`."""
    code = "import importlib, json, sys\n"
    if django:
        code += "import django; django.setup()\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    code += "print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "OMP_NUM_THREADS": "1"}
    if not django:
        del environment["DJANGO_SETTINGS_MODULE"]
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    return set(json.loads(result.stdout.splitlines()[-1]))


def below(loaded: set[str], roots: tuple[str, ...]) -> set[str]:
    return {root for root in roots if root in loaded}


def modules_of(package: str) -> list[str]:
    """Dotted names of a module and, when it is a package, of everything in it."""
    path = ROOT / package.replace(".", "/")
    if path.with_suffix(".py").exists():
        return [package]
    files = sorted(path.rglob("*.py"))
    assert files, f"{package} does not exist"
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


def edges() -> list[str]:
    """Every module that answers people or messages, whether a file or a package."""
    names = [f"{app}.{edge}" for app in APPS for edge in EDGES]
    return [module for name in names if list(ROOT.glob(f"{name.replace('.', '/')}*")) for module in modules_of(name)]


def pure_core() -> list[str]:
    """The modules that pyproject.toml declares free of any framework."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    declared = next(contract["source_modules"] for contract in contracts if contract["name"] == "pure core knows no framework")
    return [module for package in declared for module in modules_of(package)]


def test_it_serves_http_and_websockets_without_heavy_libraries():
    modules = ["traderai.asgi", *edges()]
    assert {"signals.consumers", "backtesting.views", "exchanges.tasks.trading", "accounts.admin"} <= set(modules)
    assert below(loaded_by(modules, django=True), HEAVY) == set()


def test_it_finds_a_heavy_library_where_one_is_loaded():
    assert below(loaded_by(["exchanges.venues.ccxt_venue"], django=True), HEAVY) >= {"ccxt"}


@pytest.mark.parametrize("app", ["exchanges", "signals", "backtesting"])
def test_it_computes_without_a_framework(app):
    modules = [module for module in pure_core() if module.startswith(f"{app}.")]
    assert modules
    assert below(loaded_by(modules, django=False), FRAMEWORK) == set()
