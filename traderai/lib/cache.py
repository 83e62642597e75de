"""JSON for the Redis cache."""

import json
from typing import Any


class JSONSerializer:
    """Django's Redis cache serializer protocol without pickle. Integers stay bare so that INCR works."""

    def dumps(self, value: Any) -> bytes | int:
        if type(value) is int:
            return value
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)
