"""Write Triton's model configurations (config.pbtxt), checked against Triton's own schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format, text_format

from ..errors import UserError
from .ports import Port

NAME = "config.pbtxt"


def config_text(fields: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
    """Return a configuration as text.

    Args:
        fields: those of Triton's ``ModelConfig``, with enums by name.
        notes: lines of a comment at the top.

    Raises:
        ModuleNotFoundError: tritonclient is not installed.
        UserError: Triton's schema has no such field, or a value has another type.
    """
    # Imported here because only the export needs it, and not the server.
    from tritonclient.grpc import model_config_pb2

    try:
        # Through JSON, because older versions of protobuf accept lists only, not tuples.
        text = json.dumps(dict(fields))
        message = json_format.Parse(text, model_config_pb2.ModelConfig())
    except json_format.ParseError as error:
        raise UserError(
            f"model {fields.get('name')}: Triton's ModelConfig of the installed tritonclient "
            f"refuses the configuration: {error}"
        ) from None
    comment = "".join(f"# {line}\n" for line in notes)
    text = comment + text_format.MessageToString(message, use_short_repeated_primitives=True)
    check_config(text)
    return text


def check_config(text: str) -> None:
    """Parse a configuration as Triton does.

    Raises:
        UserError: the text has an unknown field or a wrong value; names its line.
    """
    from tritonclient.grpc import model_config_pb2

    try:
        text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise UserError(f"{NAME}: Triton's ModelConfig refuses it: line {error}") from None


def tensor_fields(port: Port, *, is_batched: bool) -> dict[str, Any]:
    """Return an input or output of a configuration; Triton adds the batch axis if it batches."""
    return {
        "name": port.name,
        "data_type": "TYPE_FP32",
        "dims": list(port.shape[1:] if is_batched else port.shape),
    }


def string_parameters(values: Mapping[str, object]) -> dict[str, Any]:
    """Return ``parameters`` of a configuration; Triton's parameters are texts."""
    return {name: {"string_value": str(value)} for name, value in values.items()}
