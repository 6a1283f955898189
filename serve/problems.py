"""The errors of the service: codes, their HTTP statuses, and the exceptions that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..common.frozen_model import StrictModel
from ..errors import (
    ClosedError,
    ImageTooLargeError,
    InputFileError,
    OcrTrtError,
    OutOfMemoryError,
    UserError,
)

Code = Literal[
    "invalid_request", "invalid_body", "invalid_parameter", "broken_image", "unauthorized",
    "not_found", "method_not_allowed", "request_timeout", "body_too_large", "image_too_large",
    "too_many_images", "unsupported_media_type", "unsupported_format",
    "client_closed", "internal", "overloaded", "starting", "stopping", "out_of_memory",
    "deadline_exceeded",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The HTTP status of a code, and what the code means."""

    status: int
    meaning: str


KINDS: dict[Code, Kind] = {
    "invalid_request": Kind(status=400, meaning="The request is not valid HTTP."),
    "invalid_body": Kind(status=400, meaning="The JSON or multipart body is malformed or empty."),
    "invalid_parameter": Kind(status=400, meaning="A query parameter has a wrong value."),
    "broken_image": Kind(status=400, meaning="The image is damaged, encrypted or too small."),
    "unauthorized": Kind(status=401, meaning="The bearer token is missing or wrong."),
    "not_found": Kind(status=404, meaning="There is no such route or sample."),
    "method_not_allowed": Kind(status=405, meaning="The route does not accept this method."),
    "request_timeout": Kind(status=408, meaning="The headers or the body did not arrive in time."),
    "body_too_large": Kind(status=413, meaning="The body has more bytes than allowed."),
    "image_too_large": Kind(
        status=413, meaning="The image has more pixels, or the document more pages, than allowed."
    ),
    "too_many_images": Kind(status=413, meaning="The batch has more images than allowed."),
    "unsupported_media_type": Kind(
        status=415, meaning="The Content-Type or Content-Encoding is not supported."
    ),
    "unsupported_format": Kind(
        status=415, meaning="The file is neither an image in a known format nor a PDF document."
    ),
    "client_closed": Kind(
        status=499, meaning="The client closed the connection; only metrics contain this code."
    ),
    "internal": Kind(status=500, meaning="A bug or a failing engine; the log has the details."),
    "overloaded": Kind(
        status=503,
        meaning="Too many images wait. Retry after the number of seconds in the header "
        "Retry-After.",
    ),
    "starting": Kind(status=503, meaning="The engines are still being loaded. Retry soon."),
    "stopping": Kind(status=503, meaning="The service is shutting down."),
    "out_of_memory": Kind(status=503, meaning="There is not enough memory for the image now."),
    "deadline_exceeded": Kind(status=504, meaning="The answer was not ready in time."),
}
"""Every code of the service. ``docs/serving.md`` lists them."""


class ErrorBody(StrictModel):
    """What happened."""

    code: Code
    """One of the documented codes, for programs."""
    message: str
    """What happened and what to do, for people."""


class ErrorAnswer(StrictModel):
    """The body of every answer that is not a success."""

    error: ErrorBody


class ServiceError(Exception):
    """An error that a client gets. ``retry_after``: seconds after which to try again."""

    def __init__(self, code: Code, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message, self.retry_after = message, retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.code].status

    def to_dict(self) -> dict[str, Any]:
        """Return the ``error`` object of an answer."""
        return {"code": self.code, "message": self.message}


def service_error(error: OcrTrtError) -> ServiceError:
    """Return the error for a client, of an exception that was raised on purpose."""
    message = str(error)
    if isinstance(error, ImageTooLargeError):
        return ServiceError("image_too_large", message)
    if isinstance(error, OutOfMemoryError):
        return ServiceError("out_of_memory", message, retry_after=1)
    if isinstance(error, (InputFileError, UserError)):
        return ServiceError("broken_image", message)
    if isinstance(error, ClosedError):
        return ServiceError("stopping", "the service is shutting down")
    return ServiceError("internal", "an engine failed; the log of the service has the details")
