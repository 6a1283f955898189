"""CropWarp as a function of standard ONNX ops.

Numbers of a crop are (N, 1, 1), its points (N, 1, 1, 2). All crops get room for the samples of the
largest; those that a crop does not have are weighed 0.
"""

from __future__ import annotations

from ..resizing import weights_text

_CONSTANTS = """
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    nought = Constant <value_float = 0.0> ()
    half = Constant <value_float = 0.5> ()
    unit = Constant <value_float = 1.0> ()
    farthest = Constant <value_float = 65536.0> ()
    most_samples = Constant <value_float = 16.0> ()
    axis_1 = Constant <value_ints = [1]> ()
    last_axis = Constant <value_ints = [-1]> ()
    corner_axes = Constant <value_ints = [1, 2]> ()
    row_axes = Constant <value_ints = [0, 2]> ()
    flat = Constant <value_ints = [-1]> ()
    one_in_list = Constant <value_ints = [1]> ()
    pixels_shape = Constant <value_ints = [-1, 3]> ()
    height = Constant <value_int: int = @height> ()
    width = Constant <value_int: int = @width> ()
    height_32 = Cast <to = 1> (height)
    width_32 = Cast <to = 1> (width)
"""

# Is it a quadrilateral; g, h and the vectors as kernel.cu's Warp has them.
_WARP = """
    how_far = Abs (quads)
    corner_near = LessOrEqual (how_far, farthest)
    corner_near_number = Cast <to = 6> (corner_near)
    near_number = ReduceMin <keepdims = 1> (corner_near_number, corner_axes)
    is_near = Cast <to = 9> (near_number)
    p0, p1, p2, p3 = Split <axis = 1, num_outputs = 4> (quads)
    rightwards = Sub (p1, p0)
    downwards = Sub (p3, p0)
    upwards = Sub (p1, p2)
    leftwards = Sub (p3, p2)
    negative_rest = Add (rightwards, leftwards)
    rest = Neg (negative_rest)
    x1, y1 = Split <axis = 2, num_outputs = 2> (upwards)
    x2, y2 = Split <axis = 2, num_outputs = 2> (leftwards)
    x3, y3 = Split <axis = 2, num_outputs = 2> (rest)
    x1_y2 = Mul (x1, y2)
    x2_y1 = Mul (x2, y1)
    size = Sub (x1_y2, x2_y1)
    is_in_line = Equal (size, nought)
    has_area = Not (is_in_line)
    is_crop = And (is_near, has_area)
    x3_y2 = Mul (x3, y2)
    x2_y3 = Mul (x2, y3)
    g_size = Sub (x3_y2, x2_y3)
    g = Div (g_size, size)
    x1_y3 = Mul (x1, y3)
    x3_y1 = Mul (x3, y1)
    h_size = Sub (x1_y3, x3_y1)
    h = Div (h_size, size)
    one_g = Add (unit, g)
    one_h = Add (unit, h)
    across_vector_3d = Mul (rightwards, one_g)
    down_vector_3d = Mul (downwards, one_h)
    origin = Unsqueeze (p0, axis_1)
    across_vector = Unsqueeze (across_vector_3d, axis_1)
    down_vector = Unsqueeze (down_vector_3d, axis_1)
"""

# Its size, how many columns of it are not padding, and how many samples it has.
_SIZES = """
    top_side = ReduceL2 <keepdims = 1> (rightwards, last_axis)
    right_side = ReduceL2 <keepdims = 1> (upwards, last_axis)
    bottom_side = ReduceL2 <keepdims = 1> (leftwards, last_axis)
    left_side = ReduceL2 <keepdims = 1> (downwards, last_axis)
    two_across = Add (top_side, bottom_side)
    mean_across = Mul (two_across, half)
    round_across = Round (mean_across)
    some_across = Max (round_across, unit)
    across = Where (is_crop, some_across, unit)
    two_down = Add (left_side, right_side)
    mean_down = Mul (two_down, half)
    round_down = Round (mean_down)
    some_down = Max (round_down, unit)
    down = Where (is_crop, some_down, unit)
    high = Mul (across, height_32)
    proportional = Div (high, down)
    round_columns = Round (proportional)
    some_columns = Max (round_columns, unit)
    columns = Min (some_columns, width_32)
    results = Mul (columns, height_32)
    all_samples = Mul (across, down)
    is_area = Less (results, all_samples)
    most_across = Mul (most_samples, columns)
    samples_across = Min (across, most_across)
    most_down = Mul (most_samples, height_32)
    samples_down = Min (down, most_down)
"""

# (N, row_pixels, column_pixels, 2): the samples' places, from the middle of the first pixel.
_PLACES = """
    row_before = Cast <to = 7> (samples_down)
    row_after = Identity (height)
    row_results = Identity (height)
    row_list = Reshape (row_before, flat)
    row_list_1 = Concat <axis = 0> (row_list, one_in_list)
    row_pixels = ReduceMax <keepdims = 0> (row_list_1)
    column_before = Cast <to = 7> (samples_across)
    column_after = Cast <to = 7> (columns)
    column_results = Identity (width)
    column_list = Reshape (column_before, flat)
    column_list_1 = Concat <axis = 0> (column_list, one_in_list)
    column_pixels = ReduceMax <keepdims = 0> (column_list_1)
    row_number = Range (zero, row_pixels, one)
    row_number_32 = Cast <to = 1> (row_number)
    row_middle_1d = Add (row_number_32, half)
    row_middle = Unsqueeze (row_middle_1d, row_axes)
    v_3d = Div (row_middle, samples_down)
    v = Unsqueeze (v_3d, last_axis)
    column_number = Range (zero, column_pixels, one)
    column_number_32 = Cast <to = 1> (column_number)
    column_middle = Add (column_number_32, half)
    u_3d = Div (column_middle, samples_across)
    u = Unsqueeze (u_3d, last_axis)
    u_across = Mul (u, across_vector)
    v_down = Mul (v, down_vector)
    moved = Add (u_across, v_down)
    g_u = Mul (g, u_3d)
    h_v = Mul (h, v_3d)
    g_u_h_v = Add (g_u, h_v)
    depth_3d = Add (unit, g_u_h_v)
    depth = Unsqueeze (depth_3d, last_axis)
    from_origin = Div (moved, depth)
    position = Add (origin, from_origin)
    from_middle = Sub (position, half)
    is_nan = IsNaN (from_middle)
    place = Where (is_nan, nought, from_middle)
"""

# (N, row_pixels, column_pixels, 3)
_SAMPLES = """
    image_size = Shape <start = 0, end = 2> (image)
    image_height, image_width = Split <axis = 0, num_outputs = 2> (image_size)
    image_xy = Concat <axis = 0> (image_width, image_height)
    last_xy = Sub (image_xy, one)
    last_xy_32 = Cast <to = 1> (last_xy)
    place_from_first = Max (place, nought)
    inside = Min (place_from_first, last_xy_32)
    whole = Floor (inside)
    fraction = Sub (inside, whole)
    to_right, to_bottom = Split <axis = 3, num_outputs = 2> (fraction)
    top_left = Cast <to = 7> (whole)
    next = Add (top_left, one)
    bottom_right = Min (next, last_xy)
    left_4d, top_4d = Split <axis = 3, num_outputs = 2> (top_left)
    right_4d, bottom_4d = Split <axis = 3, num_outputs = 2> (bottom_right)
    left = Squeeze (left_4d, last_axis)
    top = Squeeze (top_4d, last_axis)
    right = Squeeze (right_4d, last_axis)
    bottom = Squeeze (bottom_4d, last_axis)
    top_begin = Mul (top, image_width)
    bottom_begin = Mul (bottom, image_width)
    index_a = Add (top_begin, left)
    index_b = Add (top_begin, right)
    index_c = Add (bottom_begin, left)
    index_d = Add (bottom_begin, right)
    bytes = Reshape (image, pixels_shape)
    pixels = Cast <to = 1> (bytes)
    a = Gather (pixels, index_a)
    b = Gather (pixels, index_b)
    c = Gather (pixels, index_c)
    d = Gather (pixels, index_d)
    b_a = Sub (b, a)
    d_c = Sub (d, c)
    of_b = Mul (to_right, b_a)
    of_d = Mul (to_right, d_c)
    over = Add (a, of_b)
    under = Add (c, of_d)
    under_over = Sub (under, over)
    of_under = Mul (to_bottom, under_over)
    samples = Add (over, of_under)
"""

_CROPS = """
    planes = Transpose <perm = [0, 3, 1, 2]> (samples)
    row_weights_4d = Unsqueeze (row_weights, axis_1)
    column_weights_4d = Unsqueeze (column_weights, axis_1)
    of_columns = Transpose <perm = [0, 1, 3, 2]> (column_weights_4d)
    tall = MatMul (planes, of_columns)
    fitted = MatMul (row_weights_4d, tall)
    text = Transpose <perm = [0, 2, 3, 1]> (fitted)
    result_number = Range (zero, width, one)
    result = Unsqueeze (result_number, last_axis)
    is_fitted_3d = Less (result, column_after)
    is_text_3d = And (is_crop, is_fitted_3d)
    is_text = Unsqueeze (is_text_3d, axis_1)
    pad = Constant <value_int: int = @pad> ()
    pad_32 = Cast <to = 1> (pad)
    padded = Where (is_text, text, pad_32)
    of_color = Transpose <perm = [1, 0]> (color)
    mixed = MatMul (padded, of_color)
    centerd = Sub (mixed, mean)
    scaled = Mul (centerd, scale)
    channels_first = Transpose <perm = [0, 3, 1, 2]> (scaled)
    crops = Cast <to: int = @to> (channels_first)
"""

BODY = f"""
<opset_import: ["" : 20], domain: "ocr_trt">
CropWarp <height, width, pad, to> (image, quads, color, mean, scale) => (crops) {{
    {_CONSTANTS}
    {_WARP}
    {_SIZES}
    {_PLACES}
    {weights_text("row")}
    {weights_text("column")}
    {_SAMPLES}
    {_CROPS}
}}
"""
