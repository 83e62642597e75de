import pytest
from django.db import transaction
from django.forms import model_to_dict

from exchanges import candles, simulated
from signals import registry, training
from signals.models import ModelVersion
from tests.signals import scenes
from tests.signals.series import make_series


@pytest.fixture(scope="session")
def learners():
    return scenes.fit_learners(make_series(scenes.BARS + 400, symbol=scenes.ETH, seed=11))


@pytest.fixture
def ensemble(learners):
    """Likes longs, dislikes shorts."""
    return scenes.make_ensemble(learners)


@pytest.fixture(scope="session")
def trained_market(django_db_setup, django_db_blocker):
    """A simulated market of two pairs and what the training service made of it: (frames, facts of the model).

    The rows are rolled back, so no other test sees them; the model's files stay.
    """
    symbols = [scenes.BTC, scenes.ETH]
    frames = simulated.generate(symbols, scenes.START_MS, 6_200, 7)
    with django_db_blocker.unblock(), transaction.atomic():
        for frame in frames:
            candles.ingest(candles.find_market(frame.symbol), frame, provenance="simulated")
        run = training.queue(symbols, params={"folds": 2, "rounds": 20, "stride": 8})
        facts = model_to_dict(training.run(run.pk), exclude=["id"])
        transaction.set_rollback(True)
    return frames, facts


@pytest.fixture
def model_dir(settings, tmp_path):
    """A folder of models of this test alone."""
    settings.MODEL_DIR = tmp_path / "models"
    registry.forget()
    yield settings.MODEL_DIR
    registry.forget()


@pytest.fixture
def trained(trained_market, db):
    """That market and its champion, in this test's database."""
    frames, facts = trained_market
    for frame in frames:
        candles.ingest(candles.find_market(frame.symbol), frame, provenance="simulated")
    return ModelVersion.objects.create(**facts)
