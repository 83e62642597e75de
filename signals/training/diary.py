"""A training run's log: what staff read while it works."""

from signals.models import TrainingLine
from traderai.lib import clock

KEPT_LINES = 300
LONGEST = 500


def note(run_id: int, text: str) -> None:
    """Add a line to a run's log, and let the oldest go when there are more than KEPT_LINES."""
    line = TrainingLine.objects.create(run_id=run_id, at=clock.now(), text=" ".join(text.split())[:LONGEST])
    older = TrainingLine.objects.filter(run_id=run_id, pk__lt=line.pk).order_by("-pk").values_list("pk", flat=True)
    last_kept = older[KEPT_LINES - 2 : KEPT_LINES - 1].first()
    if last_kept is not None:
        TrainingLine.objects.filter(run_id=run_id, pk__lt=last_kept).delete()
