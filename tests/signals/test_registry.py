"""Artefacts: whole or not there, checked when read, never unpickled."""

import errno
import hashlib
import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from signals import features, registry
from signals.models import ModelStatus, ModelVersion
from signals.plan import PlanConfig
from signals.ports import LONG
from tests.signals.markets import make_ensemble, make_facts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_dir")]


def make_model(scope: str = "default", status: str = ModelStatus.CANDIDATE, seed: int = 7, **facts: Any) -> ModelVersion:
    manifest = {"data_hash": "0" * 64}
    return registry.register(ensemble=make_ensemble(seed), scope=scope, manifest=manifest, facts=make_facts(**facts), status=status)


def test_a_registered_model_predicts_as_before(model_dir: Path) -> None:
    ensemble = make_ensemble()
    model = registry.register(ensemble=ensemble, scope="default", manifest={}, facts=make_facts())
    x = np.random.default_rng(1).normal(size=(20, len(features.NAMES)))
    before, after = ensemble.predict(x), registry.load(model).predict(x)
    assert np.array_equal(before.probability, after.probability)
    assert np.array_equal(before.agreement, after.agreement)
    assert registry.load(model).payoffs == ensemble.payoffs
    assert registry.load(model).plan == model.plan == PlanConfig()
    assert registry.load(model).explain(x[0], LONG)[0].feature == ensemble.explain(x[0], LONG)[0].feature
    names = sorted(path.name for path in (model_dir / "default-v1").iterdir())
    assert names == ["lightgbm-long.txt", "lightgbm-short.txt", "manifest.json", "xgboost-long.ubj", "xgboost-short.ubj"]


def test_the_manifest_says_what_the_model_is_made_of(model_dir: Path) -> None:
    make_model()
    content = json.loads((model_dir / "default-v1" / "manifest.json").read_text())
    assert set(content["files"]) == {"lightgbm-long.txt", "lightgbm-short.txt", "xgboost-long.ubj", "xgboost-short.ubj"}
    assert content["features"] == list(features.NAMES)
    assert set(content["libraries"]) == {"numpy", "ta-lib", "numba", "lightgbm", "xgboost-cpu"}
    assert content["sides"]["long"]["payoff"]["win_atr"] == 1.5


def test_equal_trainings_give_equal_manifests_under_new_versions() -> None:
    first, second, other = make_model(), make_model(), make_model(seed=8)
    assert (first.version, second.version, other.version) == (1, 2, 3)
    assert first.manifest_sha256 == second.manifest_sha256 != other.manifest_sha256


def test_loading_is_cached_by_manifest() -> None:
    model = make_model()
    assert registry.load(model) is registry.load(model)
    registry.forget()
    assert registry.load(model) is not None


@pytest.mark.parametrize("name", ["lightgbm-long.txt", "xgboost-short.ubj", "manifest.json"])
def test_a_changed_file_is_refused_with_its_name(model_dir: Path, name: str) -> None:
    model = make_model()
    path = model_dir / "default-v1" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(registry.ModelDamaged, match=rf"default v1 cannot be used: {name} has changed .* train again"):
        registry.load(model)


@pytest.mark.parametrize("name", ["lightgbm-long.txt", "manifest.json"])
def test_a_missing_file_is_refused_with_its_name(model_dir: Path, name: str) -> None:
    model = make_model()
    (model_dir / "default-v1" / name).unlink()
    with pytest.raises(registry.ModelDamaged, match=f"{name} is missing"):
        registry.load(model)


def test_a_manifest_of_another_feature_list_is_refused() -> None:
    model = make_model()
    model.features = [*model.features[1:], model.features[0]]
    with pytest.raises(registry.ModelDamaged, match="other features"):
        registry.load(model)


@pytest.mark.parametrize("artefact", ["../default-v1", "/etc", "default", "default-v1/.."])
def test_an_artefact_outside_the_model_folder_is_refused(artefact: str) -> None:
    model = make_model()
    model.artefact = artefact
    with pytest.raises(registry.ModelDamaged, match="is not a model folder's name"):
        registry.load(model)


def test_loading_never_unpickles() -> None:
    model = make_model()
    seen: list[str] = []
    active = [True]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if active[0] and (event == "pickle.find_class" or (event == "import" and args[0] in ("joblib", "dill", "cloudpickle"))):
            seen.append(f"{event} {args}")

    sys.addaudithook(hook)  # cannot be removed, so it is switched off below
    try:
        registry.load(model).predict(np.zeros((1, len(features.NAMES))))
    finally:
        active[0] = False
    assert seen == []


class Tripwire:
    """Unpickling one writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def reseal(model: ModelVersion, content: dict[str, Any]) -> None:
    """Give the folder this manifest, and the row its hash, as one who may write both would."""
    data = json.dumps(content).encode()
    (registry.folder(model) / registry.MANIFEST).write_bytes(data)
    ModelVersion.objects.filter(pk=model.pk).update(manifest_sha256=hashlib.sha256(data).hexdigest())
    model.refresh_from_db()


@pytest.mark.parametrize("name", ["model.pkl", "lightgbm-long.txt.pickle", "notes.txt"])
def test_a_file_that_was_put_beside_a_models_own_is_refused(model_dir: Path, tmp_path: Path, name: str) -> None:
    model = make_model()
    (model_dir / "default-v1" / name).write_bytes(pickle.dumps(Tripwire(tmp_path / "fired")))
    with pytest.raises(registry.ModelDamaged, match=f"{name} was put beside its files; remove it"):
        registry.load(model)
    with pytest.raises(registry.ModelDamaged, match=name):
        registry.promote(model, "looks fine")
    assert not (tmp_path / "fired").exists()


@pytest.mark.parametrize("learner", [None, "forest", "lightgbm", "xgboost"])
def test_a_pickle_in_a_learners_place_is_refused_even_with_the_right_hashes(model_dir: Path, tmp_path: Path, learner: str | None) -> None:
    model = make_model()
    planted = pickle.dumps(Tripwire(tmp_path / "fired"))
    kind = learner or "lightgbm"
    name = {None: "lightgbm-long.pkl", "forest": "forest-long.onnx", "lightgbm": "lightgbm-long.txt", "xgboost": "xgboost-long.ubj"}[
        learner
    ]
    content = json.loads((model_dir / "default-v1" / "manifest.json").read_text())
    old = content["sides"]["long"]["learners"].pop(kind, None)
    if old and old != name:
        (model_dir / "default-v1" / old).unlink()
        del content["files"][old]
    (model_dir / "default-v1" / name).write_bytes(planted)
    content["files"][name] = hashlib.sha256(planted).hexdigest()
    content["sides"]["long"]["learners"][kind] = name
    reseal(model, content)
    with pytest.raises(registry.ModelDamaged, match=rf"{name} (cannot be read as a {kind}|is no \.txt file)"):
        registry.load(model)
    assert not (tmp_path / "fired").exists()


def test_no_file_of_a_model_is_a_pickle(model_dir: Path) -> None:
    import pickletools

    make_model()
    for path in (model_dir / "default-v1").iterdir():
        with pytest.raises(ValueError, match=r"opcode|pickle|exhausted|expected"):
            list(pickletools.genops(path.read_bytes()))


def test_a_version_number_is_never_used_twice(model_dir: Path) -> None:
    (model_dir / "default-v1").mkdir(parents=True)
    (model_dir / "default-v1" / "left.txt").write_text("by a training that died before its row was written")
    model = make_model()
    assert (model.version, model.artefact) == (2, "default-v2")
    assert registry.load(model) is not None


def test_a_failure_before_the_row_leaves_no_row_and_the_sweep_removes_the_folder(model_dir: Path) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_model(oos_start_ms=0)
    assert ModelVersion.objects.count() == 0
    kept = make_model()
    assert registry.sweep() == []  # too young: it could belong to a training in progress
    long_ago = time.time() - registry.ORPHAN_SECONDS - 10
    (model_dir / ".draft-0").mkdir()
    (model_dir / "notes").mkdir()
    for path in model_dir.iterdir():
        os.utime(path, (long_ago, long_ago))
    assert registry.sweep() == [".draft-0", "default-v1"]
    assert sorted(path.name for path in model_dir.iterdir()) == ["default-v2", "notes"]
    assert registry.load(kept) is not None


def test_scopes_are_apart_and_well_spelled() -> None:
    assert (make_model().version, make_model("btc-only").version) == (1, 1)
    with pytest.raises(Exception, match="may only hold lower-case letters"):
        make_model("../up")


def test_promoting_archives_the_champion_with_the_reason() -> None:
    old, new = make_model(status=ModelStatus.CHAMPION), make_model()
    registry.promote(new, "better out of sample")
    old.refresh_from_db()
    assert registry.champion() == new
    assert (old.status, old.reason) == (ModelStatus.ARCHIVED, "replaced by v2: better out of sample")
    assert registry.champion().reason == "better out of sample"
    assert registry.champion().promoted_at is not None


def test_an_archived_model_can_come_back() -> None:
    old, new = make_model(status=ModelStatus.CHAMPION), make_model()
    registry.promote(new, "newer")
    old.refresh_from_db()
    registry.promote(old, "the new one lost money")
    new.refresh_from_db()
    assert registry.champion() == old
    assert new.status == ModelStatus.ARCHIVED


def test_promoting_needs_a_reason_a_sound_model_and_another_status(model_dir: Path) -> None:
    champion, refused, broken = make_model(status=ModelStatus.CHAMPION), make_model(status=ModelStatus.REFUSED), make_model()
    (model_dir / broken.artefact / "xgboost-long.ubj").unlink()
    for model, reason, error in (
        (refused, "why not", registry.NotPromotable),
        (champion, "again", registry.NotPromotable),
        (broken, "nice", registry.ModelDamaged),
        (broken, "  ", registry.NotPromotable),
    ):
        with pytest.raises(error):
            registry.promote(model, reason)
    assert registry.champion() == champion


def test_there_is_no_champion_before_the_first() -> None:
    make_model()
    assert registry.champion() is None
    assert registry.champion("elsewhere") is None


def test_a_file_that_cannot_be_read_is_named_as_a_damage(model_dir: Path) -> None:
    model = make_model()
    (model_dir / "default-v1" / "lightgbm-long.txt").unlink()
    (model_dir / "default-v1" / "lightgbm-long.txt").mkdir()
    with pytest.raises(registry.ModelDamaged, match=r"lightgbm-long.txt cannot be read \(Is a directory\)"):
        registry.load(model)


def test_a_full_disk_leaves_no_model_and_no_files(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(registry.NotStored, match=r"^model folder: .* cannot be written \(No space left on device\); give it space"):
        make_model()
    assert not ModelVersion.objects.exists()
    assert list(model_dir.iterdir()) == []


def test_a_model_folder_that_is_a_file_is_named(model_dir: Path) -> None:
    model_dir.write_text("")
    with pytest.raises(registry.NotStored, match=r"^model folder: .* cannot be written"):
        make_model()
