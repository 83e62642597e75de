"""Optuna's journal in the database: studies survive their processes, and any number of workers on any number of machines share one.

An operation is written in the transaction of whatever it belongs to, so a trial's row and the sampler's memory of it never disagree.
Nothing is pickled: operations are JSON, and snapshots are not offered.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Max
from optuna.storages.journal import BaseJournalBackend

from signals.models import Search, SearchLog


class DatabaseJournal(BaseJournalBackend):
    """The operations of one search, numbered without a hole in the order of their commits."""

    def __init__(self, search_id: int) -> None:
        self._search_id = search_id

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        logs = SearchLog.objects.filter(search_id=self._search_id, number__gte=log_number_from)
        return list(logs.order_by("number").values_list("operation", flat=True))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with transaction.atomic():
            Search.objects.select_for_update().get(pk=self._search_id)  # whoever writes waits: numbers are given in order of commit
            newest = SearchLog.objects.filter(search_id=self._search_id).aggregate(newest=Max("number"))["newest"]
            first = 0 if newest is None else newest + 1
            SearchLog.objects.bulk_create(
                SearchLog(search_id=self._search_id, number=first + i, operation=log) for i, log in enumerate(logs)
            )
