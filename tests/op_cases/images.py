"""``tf.image``."""

from __future__ import annotations

from typing import Any

from .case import Case, Function, cases_of


def images_cases() -> dict[str, Case]:
    """Return the cases of this file."""
    import tensorflow as tf

    im = tf.image
    boxes = tf.constant([[0.1, 0.2, 0.9, 0.8], [-0.2, 0.1, 0.7, 1.3], [0.9, 0.9, 0.1, 0.1]])
    which = tf.constant([0, 1, 0])
    raw = tf.raw_ops
    shift = tf.constant([[1.0, 0.1, -1.3, 0.2, 0.9, 0.7, 0.001, 0.002]])
    whole = [0, 1]

    def crop(b: Any, i: Any, size: list[int], **more: Any) -> Function:
        return lambda x: im.crop_and_resize(x, b, i, size, **more)

    def moving(x: Any) -> Any:
        return tf.sigmoid(x[:, :2, 0, :2])[:, 0] * tf.constant([[0.3, 0.4]])

    def computed(x: Any) -> Any:
        low = moving(x)
        return tf.concat([low, low + 0.5], 1)

    return cases_of(
        {
            "crop_and_resize": crop(boxes, which, [5, 7]),
            "crop_and_resize.nearest": crop(boxes, which, [5, 7], method="nearest"),
            "crop_and_resize.extra": crop(boxes, which, [5, 7], extrapolation_value=3.5),
            "crop_and_resize.one": crop(boxes, which, [1, 1]),
            "crop_and_resize.wide": crop(boxes, which, [1, 9]),
            "crop_and_resize.same": crop(tf.tile(boxes[:1], [2, 1]), whole, [6, 6]),
            "crop_and_resize.same_out": crop(
                tf.tile(boxes[1:2], [2, 1]), whole, [6, 6], extrapolation_value=1.0
            ),
            "crop_and_resize.same_nearest": crop(
                tf.tile(boxes[1:2], [2, 1]), whole, [6, 6], method="nearest"
            ),
            "crop_and_resize.computed": lambda x: im.crop_and_resize(x, computed(x), whole, [6, 6]),
            "crop_and_resize.computed_nearest": lambda x: im.crop_and_resize(
                x, computed(x), whole, [6, 6], "nearest"
            ),
            "crop_and_resize.computed_out": lambda x: im.crop_and_resize(
                x, computed(x) + 0.4, whole, [6, 6], extrapolation_value=2.0
            ),
            "crop_and_resize.computed_one": lambda x: im.crop_and_resize(
                x, computed(x), whole, [1, 1]
            ),
            "crop_and_resize.indices": lambda x: im.crop_and_resize(
                x, computed(x), tf.cast(x[:, 0, 0, 0] > 0, "int32"), [4, 4]
            ),
            "crop_and_resize.row": lambda x: im.crop_and_resize(
                x[:, :1], computed(x), whole, [4, 4]
            ),
            "extract_glimpse": lambda x: im.extract_glimpse(
                x, [4, 5], [[0.1, 0.2], [-0.3, 0.9]], noise="zero"
            ),
            "adjust_brightness": lambda x: im.adjust_brightness(x, 0.3),
            "adjust_contrast": lambda x: im.adjust_contrast(x, 1.5),
            "adjust_gamma": lambda x: im.adjust_gamma(x, 0.7),
            "adjust_hue": lambda x: im.adjust_hue(x, 0.2),
            "adjust_saturation": lambda x: im.adjust_saturation(x, 1.7),
            "rgb_to_grayscale": im.rgb_to_grayscale,
            "grayscale_to_rgb": lambda x: im.grayscale_to_rgb(x[..., :1]),
            "rgb_to_hsv": im.rgb_to_hsv,
            "hsv_to_rgb": im.hsv_to_rgb,
            "rgb_to_yiq": im.rgb_to_yiq,
            "yuv_to_rgb": im.yuv_to_rgb,
            "rgb_to_hsv.equal": lambda x: im.rgb_to_hsv(tf.round(x * 2.0) / 2.0),
            "per_image_standardization": im.per_image_standardization,
            "sobel_edges": im.sobel_edges,
            "image_gradients": lambda x: im.image_gradients(x)[0],
            "total_variation": im.total_variation,
            "central_crop": lambda x: im.central_crop(x, 0.5),
            "pad_to_bounding_box": lambda x: im.pad_to_bounding_box(x, 1, 2, 12, 16),
            "crop_to_bounding_box": lambda x: im.crop_to_bounding_box(x, 1, 2, 4, 5),
            "resize_with_crop_or_pad": lambda x: im.resize_with_crop_or_pad(x, 10, 10),
            "flip_left_right": im.flip_left_right,
            "flip_up_down": im.flip_up_down,
            "rot90": im.rot90,
            "transpose": im.transpose,
            "psnr": lambda x: im.psnr(x, x * 0.9, 1.0),
            "ssim": lambda x: im.ssim(
                tf.tile(x, [1, 2, 1, 1]), tf.tile(x, [1, 2, 1, 1]) * 0.9, 1.0
            ),
            "convert_image_dtype": lambda x: tf.cast(im.convert_image_dtype(x, "uint8"), "float32"),
            "projective_transform": lambda x: raw.ImageProjectiveTransformV3(
                images=x,
                transforms=shift,
                output_shape=[8, 12],
                fill_value=0.5,
                interpolation="BILINEAR",
                fill_mode="CONSTANT",
            ),
            "projective_transform.reflect": lambda x: raw.ImageProjectiveTransformV3(
                images=x,
                transforms=shift,
                output_shape=[6, 9],
                fill_value=0.5,
                interpolation="BILINEAR",
                fill_mode="REFLECT",
            ),
            "projective_transform.nearest": lambda x: raw.ImageProjectiveTransformV3(
                images=x,
                transforms=shift,
                output_shape=[6, 9],
                fill_value=0.5,
                interpolation="NEAREST",
                fill_mode="NEAREST",
            ),
            "projective_transform.wrap": lambda x: raw.ImageProjectiveTransformV3(
                images=x,
                transforms=shift,
                output_shape=[6, 9],
                fill_value=0.5,
                interpolation="BILINEAR",
                fill_mode="WRAP",
            ),
            "projective_transform.v2": lambda x: raw.ImageProjectiveTransformV2(
                images=x,
                transforms=shift,
                output_shape=[6, 9],
                interpolation="BILINEAR",
                fill_mode="CONSTANT",
            ),
            "draw_bounding_boxes": lambda x: im.draw_bounding_boxes(
                x, tf.stack([boxes[:2]] * 2), [[1.0, 0.0, 0.0]]
            ),
            "nms": lambda x: tf.cast(
                im.non_max_suppression(boxes, tf.sigmoid(x[0, 0, :3, 0]), 3), "float32"
            ),
            "nms.padded": lambda x: tf.cast(
                raw.NonMaxSuppressionV4(
                    boxes=boxes,
                    scores=tf.sigmoid(x[0, 0, :3, 0]),
                    max_output_size=3,
                    iou_threshold=0.5,
                    score_threshold=0.0,
                    pad_to_max_output_size=True,
                )[0],
                "float32",
            ),
            "adjust_contrast.old": lambda x: raw.AdjustContrastv2(images=x, contrast_factor=0.5),
        },
        low=0.02,
        high=0.98,
    )
