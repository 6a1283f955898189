"""Files in a multipart body, in memory: no temporary files, and no names of files are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from .problems import ServiceError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FIELDS = (b"file", b"files")
"""Names of the parts that are images. Other parts are ignored."""
_MOST_PARTS = 1000
"""Parts of any name: parsing many empty ones would take long."""


def multipart_files(content_type: str, body: bytes, *, most: int) -> list[bytes]:
    """Return the contents of the files of a multipart body, in their order.

    Args:
        content_type: the Content-Type header, which contains the boundary.
        body: the whole body.
        most: the number of files allowed.

    Raises:
        ServiceError: the body is malformed or incomplete, or has too many files.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ServiceError("invalid_body", "Content-Type: multipart/form-data has no boundary")
    files = _Files(most)
    try:
        parser = MultipartParser(boundary, files.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ServiceError("invalid_body", f"malformed multipart body: {error!s:.200}") from None
    if not files.is_complete:
        raise ServiceError("invalid_body", "the multipart body is incomplete")
    return [b"".join(chunks) for chunks in files.chunks]


def _too_many(most: int) -> str:
    if most == 1:
        return "the body has more than one file; POST /v1/ocr/batch reads several images"
    return f"the body has more than the {most} images allowed; send several batches"


class _Files:
    """Collects the files of a body while it is parsed."""

    def __init__(self, most: int) -> None:
        self._most, self._parts = most, 0
        self._header, self._value, self._is_file = b"", b"", False
        self.chunks: list[list[bytes]] = []
        """The content of each file, in pieces."""
        self.is_complete = False
        """Whether the last boundary was there."""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_to_header,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise ServiceError("invalid_body", f"more than {_MOST_PARTS} parts")
        self._is_file = False

    def _add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if options.get(b"name") in _FIELDS and not self._is_file:
                self._is_file = True
                if len(self.chunks) == self._most:
                    raise ServiceError("too_many_images", _too_many(self._most))
                self.chunks.append([])
        self._header = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.chunks[-1].append(data[start:end])

    def _end(self) -> None:
        self.is_complete = True
