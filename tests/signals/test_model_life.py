"""A model from training to prediction: the same data give the same files anywhere, and nothing on the way is unpickled."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from signals import learners, registry
from tests.signals import pickle_free

CORE = ("lightgbm", "xgboost", "forest", "histgb", "mlp")
ROOT = Path(__file__).resolve().parents[2]


def elsewhere(folder: Path, kinds: tuple[str, ...]) -> dict[str, Any]:
    """What tests.signals.pickle_free prints in a fresh interpreter whose strings hash otherwise."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"DATA_DIR": str(folder), "PYTHONHASHSEED": "4711", "DJANGO_SETTINGS_MODULE": "tests.settings", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.signals.pickle_free", ",".join(kinds)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_core_kinds_are_all_but_those_of_an_extra() -> None:
    assert set(CORE) == {kind for kind in learners.KINDS if not learners.KINDS[kind].startswith("signals.learners.deep")}


@pytest.mark.django_db
def test_every_core_kind_retrains_to_the_same_manifest_in_another_process_which_unpickles_nothing(model_dir: Path, tmp_path: Path) -> None:
    model = pickle_free.register(pickle_free.fit(CORE))
    files = json.loads((model_dir / model.artefact / registry.MANIFEST).read_text())["files"]
    assert {name.split("-")[0] for name in files} == set(CORE)
    (tmp_path / "data").mkdir()
    told = elsewhere(tmp_path / "data", CORE)
    assert told["attempts"] == []
    assert told["closed"] == ["loads", "load", "Unpickler", "joblib", "numpy"]  # what was offered at the end was refused
    assert (told["finite"], told["reasons"]) == (True, 5)
    assert told["manifest"] == model.manifest_sha256
