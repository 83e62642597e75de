"""A network as one safetensors file: tensors, and in the file's own header, as JSON, the architecture they belong to."""

import json
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor, nn

HEADER_BYTES = 8
KEY = "architecture"


class Architecture(NamedTuple):
    """What builds the network again: its kind, features per bar, bars per window; the passes it was fitted for; and of its constructor's other
    arguments those that were set."""

    kind: str
    width: int
    length: int
    rounds: int
    shape: dict[str, float]


def write(network: nn.Module, architecture: Architecture) -> bytes:
    """The same network gives the same bytes."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(tensors, metadata={KEY: json.dumps(architecture._asdict(), sort_keys=True)})


def read(data: bytes, kind: str) -> tuple[Architecture, dict[str, Tensor]]:
    """The inverse of write. Raises ValueError for a file of another kind or none, safetensors' own error for a damaged one."""
    tensors = safetensors.torch.load(data)
    size = int.from_bytes(data[:HEADER_BYTES], "little")
    header: dict[str, Any] = json.loads(data[HEADER_BYTES : HEADER_BYTES + size])
    nothing = {"kind": "", "width": 0, "length": 0, "rounds": 0, "shape": {}}
    architecture = Architecture(**{**nothing, **json.loads(header.get("__metadata__", {}).get(KEY, "{}"))})
    if architecture.kind != kind:
        raise ValueError(f"it holds a network of kind {architecture.kind or 'unknown'!r}")
    return architecture, tensors
