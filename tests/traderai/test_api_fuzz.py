"""The API against whatever its own document allows and forbids: no failure inside, and no answer that the document does not name."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode

from traderai.api import api

ANYTHING = settings(max_examples=30, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
OPERATIONS = [result.ok() for result in schemathesis.openapi.from_dict(api.get_openapi_schema()).get_all_operations()]
# Health takes nothing, so nothing about it can be wrong.
CASES = [(operation, mode) for operation in OPERATIONS for mode in GenerationMode if operation.path != "/api/v1/health" or mode.is_positive]


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=lambda part: getattr(part, "label", part))
def test_it_answers_anything_as_its_document_says(operation, mode, sam, client_for):
    client = client_for(sam)
    statuses = set()

    @ANYTHING
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        asked = requests.Request(**{**case.as_transport_kwargs(base_url="http://testserver"), "cookies": None}).prepare()
        reply = client.generic(asked.method, asked.path_url, asked.body or b"", content_type=asked.headers.get("Content-Type", ""))
        statuses.add(reply.status_code)
        assert reply.status_code < 500, reply.content
        if reply.status_code not in (404, 405):  # an id that is no number leads to no operation at all
            assert str(reply.status_code) in operation.definition.raw["responses"], reply.content

    ask()
    assert statuses
