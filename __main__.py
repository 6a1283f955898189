"""``python -m ocr_trt``."""

from .cli import main

main()
