"""TensorRT 10 and 11 (``tensorrt.py``) and TensorRT for RTX (``tensorrt_rtx.py``).

``backend.py`` implements both targets; ``features.py`` detects how the packages differ.
"""
