"""Recognize the format of an image file by its first bytes."""

from __future__ import annotations

HEAD = 1024
"""Bytes that decide; a PDF document may begin with other bytes."""
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF files: both byte orders, classic and large."""
SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".dib", ".tif", ".tiff"),
        *(".webp", ".gif", ".avif", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm", ".heic"),
        *(".heif", ".pdf"),
    }
)
"""A file with such a name is an image; if it does not contain one, that is an error."""
_MARKS = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF87a",
    *TIFF, b"GIF89a", b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51",
    *(b"P%d" % kind + space for kind in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
)  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_pdf(head: bytes) -> bool:
    """Whether a file with these first bytes is a PDF document."""
    return b"%PDF-" in head[:HEAD]


def is_heif(head: bytes) -> bool:
    """Whether a file with these first bytes is in the HEIC format of phones."""
    # A mif1 file may contain HEVC or AV1; the compatible brands that follow decide.
    brands = head[8:64]
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in brands


def is_image(head: bytes) -> bool:
    """Whether a file with these first bytes is in a known format."""
    is_riff = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_box = head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or is_heif(head))
    return head.startswith(_MARKS) or is_riff or is_box or is_pdf(head)
