"""Trained models as files in open formats beside a manifest, each named by a row that holds the manifest's SHA-256.

A folder is written under a passing name, flushed, and renamed in one step; only then does its row appear. A process killed in between leaves a
folder without a row, which nothing reads and `sweep` removes. Loading checks every hash; nothing here unpickles.
"""

import hashlib
import io
import json
import os
import re
import shutil
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from signals import events
from signals.distributions import Reference
from signals.models import ModelStatus, ModelVersion
from signals.plan import PlanConfig
from signals.ports import SIDE_NAME, SIDES, TrainedEnsemble
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

MANIFEST = "manifest.json"
REFERENCE = "reference.npy"
FORMAT = 1
LIBRARIES = ("numpy", "ta-lib", "numba")
"""What every model depends on; the manifest adds the packages of its learners."""
ORPHAN_SECONDS = 3_600
LEAST_FREE_BYTES = 64 * 1024 * 1024
CACHED = 4
_loaded: OrderedDict[str, TrainedEnsemble] = OrderedDict()


class ModelDamaged(UserError):
    """The artefact is missing or is not what was registered."""


class NotStored(UserError):
    """The disk did not take the files; nothing of them is left."""


class NotPromotable(UserError):
    """This model may not become champion."""


def champion(scope: str = "default") -> ModelVersion | None:
    """The model that signals come from, or None before the first training."""
    return ModelVersion.objects.champion(scope)


def folder(model: ModelVersion) -> Path:
    """Where a model's files lie."""
    if not re.fullmatch(r"[a-z0-9_-]+-v\d+", model.artefact):
        raise ModelDamaged(f"{model}: artefact {model.artefact!r} is not a model folder's name")
    return Path(settings.MODEL_DIR) / model.artefact


# --- writing


def check_room() -> None:
    """Raises NotStored when the disk of the model folder has less than LEAST_FREE_BYTES free: asked before hours of work, not after."""
    root = Path(settings.MODEL_DIR)
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE_BYTES:
        raise NotStored(
            f"model folder: {root} has {free // 1_048_576} MB left and needs {LEAST_FREE_BYTES // 1_048_576}; free some space, then train again",
            field="model_folder",
        )


def register(
    *,
    ensemble: Any,
    scope: str,
    manifest: Mapping[str, Any],
    facts: Mapping[str, Any],
    reference: Reference | None = None,
    status: str = ModelStatus.CANDIDATE,
    reason: str = "",
) -> ModelVersion:
    """Store an ensemble's files and its row; call it inside the transaction that also ends the training run.

    ensemble -- signals.ensemble.Ensemble with fitted learners
    manifest -- what a reader of the folder needs beside the files: parameters, spans, data hash; equal trainings give equal manifests
    facts    -- the other columns of ModelVersion
    reference -- what its features and answers looked like in training, for signals.drift
    """
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", scope):
        raise UserError(f"scope {scope!r} may only hold lower-case letters, digits, - and _", field="scope")
    root = Path(settings.MODEL_DIR)
    draft = root / f".draft-{uuid.uuid4().hex}"
    try:
        draft.mkdir(parents=True)
        manifest_sha256 = _write(draft, ensemble, manifest, reference)
        version, name = _claim(root, draft, scope)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise NotStored(
            f"model folder: {root} cannot be written ({error.strerror or error}); give it space or permission, then train again"
        ) from error
    return ModelVersion.objects.create(
        scope=scope,
        version=version,
        artefact=name,
        manifest_sha256=manifest_sha256,
        features=list(ensemble.feature_names),
        status=status,
        reason=reason,
        promoted_at=clock.now() if status == ModelStatus.CHAMPION else None,
        **facts,
    )


def _write(draft: Path, ensemble: Any, manifest: Mapping[str, Any], reference: Reference | None) -> str:
    """Fill the folder and return the SHA-256 of its manifest."""
    from signals.ensemble import side_to_json  # keeps numpy-only readers of this module light

    files: dict[str, str] = {}
    sides = {}
    for side in SIDES:
        model = ensemble.sides[side]
        learners = {}
        for kind, learner in model.learners.items():
            path = Path(learner.save(str(draft / f"{kind}-{SIDE_NAME[side]}")))
            files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            learners[kind] = path.name
        sides[SIDE_NAME[side]] = {"learners": learners, **side_to_json(model)}
    past = None
    if reference is not None:
        (draft / REFERENCE).write_bytes(_npy(reference.sample))
        files[REFERENCE] = hashlib.sha256((draft / REFERENCE).read_bytes()).hexdigest()
        past = {name: value for name, value in reference._asdict().items() if name != "sample"}
    content = {
        "format": FORMAT,
        **manifest,
        "reference": past,
        "features": list(ensemble.feature_names),
        "files": files,
        "sides": sides,
        "libraries": {name: installed_version(name) for name in (*LIBRARIES, *_packages(sides))},
    }
    data = json.dumps(content, indent=1, sort_keys=True).encode()
    (draft / MANIFEST).write_bytes(data)
    for path in (*draft.iterdir(), draft):
        _flush(path)
    return hashlib.sha256(data).hexdigest()


def _npy(sample: Any) -> bytes:
    """NumPy's own open format: a line of text that describes the array, then its numbers."""
    import numpy as np

    out = io.BytesIO()
    np.save(out, sample, allow_pickle=False)
    return out.getvalue()


def _packages(sides: Mapping[str, Any]) -> list[str]:
    """Names of the packages that fit and predict the learners of both sides."""
    from signals.learners import PACKAGES

    return sorted({name for part in sides.values() for kind in part["learners"] for name in PACKAGES[kind]})


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(root: Path, draft: Path, scope: str) -> tuple[int, str]:
    """Rename the draft to the scope's next free version. Renaming onto a folder with files fails, so two trainings never share a number."""
    newest = ModelVersion.objects.filter(scope=scope).aggregate(newest=Max("version"))["newest"] or 0
    for version in range(newest + 1, newest + 1_000):
        name = f"{scope}-v{version}"
        try:
            draft.rename(root / name)
        except OSError:
            if not (root / name).exists():
                raise
            continue
        _flush(root)
        return version, name
    raise UserError(f"no free version number for scope {scope!r} in {root}: remove folders without a model", field="scope")


def sweep() -> list[str]:
    """Remove folders that no row names and that are older than an hour, so cannot belong to a training in progress. Returns their names."""
    root = Path(settings.MODEL_DIR)
    if not root.is_dir():
        return []
    known = set(ModelVersion.objects.values_list("artefact", flat=True))
    oldest = time.time() - ORPHAN_SECONDS
    removed = []
    for path in sorted(root.iterdir()):
        is_ours = path.name.startswith(".draft-") or re.fullmatch(r"[a-z0-9_-]+-v\d+", path.name)
        if path.is_dir() and is_ours and path.name not in known and path.stat().st_mtime < oldest:
            shutil.rmtree(path)
            removed.append(path.name)
    return removed


# --- reading


def load(model: ModelVersion) -> TrainedEnsemble:
    """The model, ready to predict; kept per process by its manifest's hash. Raises ModelDamaged when a file is not what was registered."""
    cached = _loaded.get(model.manifest_sha256)
    if cached is not None:
        _loaded.move_to_end(model.manifest_sha256)
        return cached
    content, files = verified(model)
    ensemble = _assemble(model, content, files)
    _loaded[model.manifest_sha256] = ensemble
    while len(_loaded) > CACHED:
        _loaded.popitem(last=False)
    return ensemble


def forget() -> None:
    """Empty this process's cache: the next load reads and checks the files."""
    _loaded.clear()


def verified(model: ModelVersion) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and the bytes of its files, every hash checked; the bytes that were checked are the ones returned.

    A folder that holds anything else is refused whole: somebody else has been writing there.
    """
    path = folder(model)
    data = _read(model, path / MANIFEST)
    if hashlib.sha256(data).hexdigest() != model.manifest_sha256:
        raise ModelDamaged(_damage(model, MANIFEST, "has changed since it was registered"))
    content: dict[str, Any] = json.loads(data)
    if content.get("format") != FORMAT:
        raise ModelDamaged(_damage(model, MANIFEST, f"has format {content.get('format')!r}, not {FORMAT}"))
    strange = sorted({item.name for item in path.iterdir()} - {MANIFEST, *content["files"]})
    if strange:
        raise ModelDamaged(_damage(model, strange[0], "was put beside its files; remove it if you know what it is"))
    files = {}
    for name, digest in content["files"].items():
        files[name] = _read(model, path / Path(name).name)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise ModelDamaged(_damage(model, name, "has changed since it was registered"))
    return content, files


def reference(model: ModelVersion) -> Reference | None:
    """What the model's features and answers looked like in training; None for one registered without. Raises ModelDamaged."""
    import numpy as np

    content, files = verified(model)
    past = content.get("reference")
    if past is None:
        return None
    sample = np.load(io.BytesIO(files[REFERENCE]), allow_pickle=False)
    return Reference(tuple(past["columns"]), sample, tuple(past["per_day"]), int(past["rows"]), float(past["days"]))


def _read(model: ModelVersion, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelDamaged(_damage(model, path.name, "is missing")) from None
    except OSError as error:
        raise ModelDamaged(_damage(model, path.name, f"cannot be read ({error.strerror or error})")) from error


def _damage(model: ModelVersion, name: str, what: str) -> str:
    return f"model {model.scope} v{model.version} cannot be used: {name} {what}; restore it from a backup, roll back, or train again"


def _assemble(model: ModelVersion, content: dict[str, Any], files: dict[str, bytes]) -> TrainedEnsemble:
    from signals.ensemble import Ensemble, side_from_json
    from signals.learners import learner  # LightGBM and XGBoost take seconds to import

    if content["features"] != model.features:
        raise ModelDamaged(_damage(model, MANIFEST, "lists other features than the registry"))
    sides = []
    for side in SIDES:
        part = content["sides"][SIDE_NAME[side]]
        learners = {kind: _learner(model, learner(kind), name, files) for kind, name in part["learners"].items()}
        sides.append(side_from_json(part, learners))
    return Ensemble(content["features"], sides, PlanConfig.from_json(content.get("params", {}).get("plan", {})))


def _learner(model: ModelVersion, kind: Any, name: str, files: Mapping[str, bytes]) -> Any:
    """A learner from its file, which has to be of the kind's own format."""
    if not name.endswith(f".{kind.suffix}") or name not in files:
        raise ModelDamaged(_damage(model, name, f"is no .{kind.suffix} file of its own, the only form a {kind.kind} is read from"))
    try:
        return kind.from_bytes(files[name])
    except Exception as error:  # each library has failures of its own
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelDamaged(_damage(model, name, f"cannot be read as a {kind.kind} ({what})")) from error


# --- choosing


def promote(model: ModelVersion, reason: str) -> ModelVersion:
    """Make a model its scope's champion and archive the one before, in one transaction. Also the way back to an archived one.

    Raises NotPromotable without a reason, for a refused model and for the champion itself, ModelDamaged when its files are not intact.
    """
    if not reason.strip():
        raise NotPromotable("a promotion needs a reason", field="reason")
    verified(model)
    with transaction.atomic():
        now = clock.now()
        current = ModelVersion.objects.select_for_update().get(pk=model.pk)
        if current.status in (ModelStatus.CHAMPION, ModelStatus.REFUSED):
            raise NotPromotable(
                f"{current.scope} v{current.version} is {current.status}: only a candidate or an archived model can be promoted"
            )
        replaced = f"replaced by v{current.version}: {reason}"
        before = ModelVersion.objects.champion(current.scope)
        current.replaces = before if current.status == ModelStatus.CANDIDATE else None
        ModelVersion.objects.filter(scope=current.scope, status=ModelStatus.CHAMPION).update(status=ModelStatus.ARCHIVED, reason=replaced)
        current.status, current.reason, current.promoted_at = ModelStatus.CHAMPION, reason, now
        current.save(update_fields=["status", "reason", "promoted_at", "replaces"])
    return current


def roll_back(champion: ModelVersion, reason: str) -> ModelVersion:
    """Bring back the model that a champion replaced, and archive the champion; nothing promotes an archived model but a person.

    Raises NotPromotable when it replaced none, ModelDamaged when the former one's files are not intact.
    """
    if champion.replaces is None:
        raise NotPromotable(f"{champion.scope} v{champion.version} replaced no other model: there is none to go back to")
    former = promote(champion.replaces, reason)
    send_after_commit(events.model_rolled_back, model_id=champion.pk, former_id=former.pk, reason=reason)
    return former
