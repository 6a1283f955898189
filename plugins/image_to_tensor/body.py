"""ImageToTensor as a function of standard ONNX ops."""

from __future__ import annotations

from ..resizing import weights_text

BODY = f"""
<opset_import: ["" : 20], domain: "ocr_trt">
ImageToTensor <rows, columns, height, width, pad, area, to>
        (image, color, mean, scale) => (tensor) {{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    last_axis = Constant <value_ints = [-1]> ()
    area_number = Constant <value_int: int = @area> ()
    is_area = Equal (area_number, one)
    size = Shape (image)
    row_before = Gather (size, zero)
    row_pixels = Identity (row_before)
    row_after = Constant <value_int: int = @rows> ()
    row_results = Identity (row_after)
    {weights_text("row")}
    column_before = Gather (size, one)
    column_pixels = Identity (column_before)
    column_after = Constant <value_int: int = @columns> ()
    column_results = Identity (column_after)
    {weights_text("column")}
    pixels = Cast <to = 1> (image)
    planes = Transpose <perm = [2, 0, 1]> (pixels)
    of_columns = Transpose <perm = [1, 0]> (column_weights)
    narrow = MatMul (planes, of_columns)
    small = MatMul (row_weights, narrow)
    height_number = Constant <value_int: int = @height> ()
    width_number = Constant <value_int: int = @width> ()
    height_list = Unsqueeze (height_number, last_axis)
    width_list = Unsqueeze (width_number, last_axis)
    below = Sub (height_list, row_after)
    right = Sub (width_list, column_after)
    no_padding = Constant <value_ints = [0, 0, 0, 0]> ()
    padding = Concat <axis = 0> (no_padding, below, right)
    pad_number = Constant <value_int: int = @pad> ()
    pad_32 = Cast <to = 1> (pad_number)
    padded = Pad (small, padding, pad_32)
    flat_shape = Constant <value_ints = [3, -1]> ()
    flat = Reshape (padded, flat_shape)
    mixed = MatMul (color, flat)
    mean_column = Unsqueeze (mean, last_axis)
    scale_column = Unsqueeze (scale, last_axis)
    centerd = Sub (mixed, mean_column)
    scaled = Mul (centerd, scale_column)
    first_sizes = Constant <value_ints = [1, -1]> ()
    shape = Concat <axis = 0> (first_sizes, height_list, width_list)
    shaped = Reshape (scaled, shape)
    tensor = Cast <to: int = @to> (shaped)
}}
"""
