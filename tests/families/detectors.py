"""Text detectors: each function returns a model from images (N, H, W, 3) to a map."""

from __future__ import annotations

from typing import Any

from .blocks import conv, with_random_weights


def craft() -> Any:
    """VGG encoder; decoder with bilinear resize to the size of the skip connection; two maps."""
    import keras
    import tensorflow as tf
    from keras import layers

    class ResizeLike(layers.Layer):
        def call(self, x: Any, like: Any) -> Any:
            return tf.image.resize(x, tf.shape(like)[1:3], "bilinear")

        def compute_output_spec(self, x: Any, like: Any) -> Any:
            return keras.KerasTensor((*like.shape[:3], x.shape[3]), x.dtype)

    image = keras.Input((None, None, 3), name="image")
    x, skips = image, []
    for filters in (8, 16, 24):
        x = conv(conv(x, filters), filters)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = conv(x, 24, dilation_rate=3)
    for skip in reversed(skips):
        x = layers.Concatenate()([ResizeLike()(x, skip), skip])
        x = conv(conv(x, 16, 1), 8)
    x = layers.Conv2D(2, 1, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def differentiable_binarization() -> Any:
    """ResNet; feature pyramid with nearest-neighbor resizing; head with two deconvolutions."""
    import keras
    from keras import layers

    def residual(x: Any, filters: int, stride: int) -> Any:
        y = conv(x, filters, stride=stride)
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        if stride > 1:
            x = layers.BatchNormalization()(layers.Conv2D(filters, 1, stride)(x))
        return layers.ReLU()(layers.Add()([x, y]))

    image = keras.Input((None, None, 3), name="image")
    x = layers.MaxPooling2D(3, 2, "same")(conv(image, 8, 7, stride=2))
    features = []
    for filters, stride in ((8, 1), (16, 2), (24, 2)):
        x = residual(residual(x, filters, stride), filters, 1)
        features.append(layers.Conv2D(16, 1)(x))
    c2, c3, c4 = features
    p3 = layers.Add()([layers.UpSampling2D(2)(c4), c3])
    p2 = layers.Add()([layers.UpSampling2D(2)(p3), c2])
    levels = [layers.Conv2D(8, 3, padding="same")(p) for p in (p2, p3, c4)]
    x = layers.Concatenate()(
        [levels[0], layers.UpSampling2D(2)(levels[1]), layers.UpSampling2D(4)(levels[2])]
    )
    x = layers.Conv2DTranspose(8, 2, 2)(conv(x, 8))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(1, 2, 2, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def linknet() -> Any:
    """Encoder and decoder with additive skip connections; overlapping deconvolutions."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    x, skips = conv(image, 8, 3, stride=2), []
    for filters in (8, 16):
        skips.append(x)
        x = conv(conv(x, filters, stride=2), filters)
    for filters, size in ((8, 3), (8, 4)):
        x = layers.Conv2DTranspose(filters, size, 2, "same", use_bias=False)(conv(x, 4, 1))
        x = layers.Add()([layers.ReLU()(layers.BatchNormalization()(x)), skips.pop()])
    x = layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def mobilenet_v3() -> Any:
    """MobileNetV3 encoder: hard swish, squeeze-excite, preprocessing inside the model."""
    import keras
    from keras import layers

    image = keras.Input((64, 96, 3), name="image")
    encoder = keras.applications.MobileNetV3Small(
        input_tensor=image, alpha=0.5, weights=None, include_top=False
    )
    features = encoder.get_layer("expanded_conv_2_add").output
    x = layers.UpSampling2D(2, interpolation="bilinear")(conv(features, 8))
    x = layers.Conv2DTranspose(1, 4, 4, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def efficientnet() -> Any:
    """EfficientNetB0 encoder: swish, squeeze-excite, preprocessing inside the model."""
    import keras
    from keras import layers

    image = keras.Input((64, 96, 3), name="image")
    encoder = keras.applications.EfficientNetB0(input_tensor=image, weights=None, include_top=False)
    features = encoder.get_layer("block3b_add").output
    x = layers.UpSampling2D(2, interpolation="bilinear")(conv(features, 8))
    x = layers.Conv2DTranspose(1, 4, 4, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def segnet() -> Any:
    """Five poolings with argmax, five unpoolings, no other skip connections."""
    import keras
    from keras import layers

    from ocr_trt.models.keras_layers import MaxPoolArgmax2D, MaxUnpool2D

    image = keras.Input((None, None, 3), name="image")
    x, places, sizes = image, [], (8, 8, 16, 16, 16)
    for filters in sizes:
        x, place = MaxPoolArgmax2D()(conv(x, filters))
        places.append(place)
    for filters in (16, 16, 8, 8, 8):
        x = conv(MaxUnpool2D()(x, places.pop()), filters)
    x = layers.Conv2D(1, 1, activation="sigmoid")(x)
    return with_random_weights(keras.Model(image, x))


def psenet() -> Any:
    """Two outputs: kernels of four sizes, and the text map; nearest-neighbor resizing."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    one = conv(image, 8, stride=2)
    two = conv(one, 16, stride=2)
    x = layers.Concatenate()([one, layers.UpSampling2D(2, interpolation="nearest")(two)])
    kernels = layers.Conv2D(4, 1)(layers.UpSampling2D(2, interpolation="nearest")(conv(x, 8)))
    text = layers.Activation("sigmoid")(kernels[..., :1])
    return with_random_weights(keras.Model(image, {"kernels": kernels, "text": text}))


def dilated_and_grouped() -> Any:
    """Grouped, depthwise and dilated convolutions in parallel; pooled context; softmax."""
    import keras
    from keras import layers

    image = keras.Input((64, 96, 3), name="image")
    x = conv(image, 16, stride=2)
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.LeakyReLU()(layers.Conv2D(16, 3, padding="same", groups=4)(x))
    context = layers.GlobalAveragePooling2D(keepdims=True)(x)
    branches = [conv(x, 8, 1), *(conv(x, 8, dilation_rate=rate) for rate in (2, 4))]
    x = layers.Concatenate()(branches) * layers.Conv2D(24, 1, activation="sigmoid")(context)
    x = layers.SeparableConv2D(8, 3, padding="same", activation="elu")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Softmax()(layers.Conv2D(2, 1)(x))
    return with_random_weights(keras.Model(image, x))


def subclassed() -> Any:
    """A subclassed Keras model with Python loops, layers in lists and ``tf.image`` calls."""
    import keras
    import tensorflow as tf
    from keras import layers

    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.down = [layers.Conv2D(f, 3, 2, "same") for f in (8, 16, 16)]
            self.norms = [layers.BatchNormalization() for _ in self.down]
            self.up = [layers.Conv2D(8, 3, padding="same") for _ in self.down]
            self.head = layers.Conv2D(1, 1)

        def call(self, x: Any, training: bool = False) -> Any:
            sizes = []
            for layer, norm in zip(self.down, self.norms, strict=True):
                sizes.append(tf.shape(x)[1:3])
                x = tf.nn.relu(norm(layer(x), training=training))
            for index in range(len(self.up)):
                x = tf.image.resize(x, sizes[-1 - index], method="nearest")
                x = tf.nn.swish(self.up[index](x))
            return tf.sigmoid(self.head(x))

    model = Net()
    model(tf.zeros([1, 64, 96, 3]))
    return with_random_weights(model)


def group_norm() -> Any:
    """Group normalization, PReLU, depth-to-space instead of deconvolution."""
    import keras
    import tensorflow as tf
    from keras import layers

    class DepthToSpace(layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.nn.depth_to_space(x, 2)

        def compute_output_spec(self, x: Any) -> Any:
            n, h, w, c = x.shape
            return keras.KerasTensor((n, h and 2 * h, w and 2 * w, c // 4), x.dtype)

    image = keras.Input((64, 96, 3), name="image")
    x = layers.GroupNormalization(4)(layers.Conv2D(8, 3, 2, "same")(image))
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.GroupNormalization(-1)(layers.Conv2D(16, 3, 2, "same")(x))
    x = DepthToSpace()(layers.Conv2D(16, 3, padding="same", activation="relu")(x))
    x = DepthToSpace()(layers.Conv2D(4, 3, padding="same", activation="sigmoid")(x))
    return with_random_weights(keras.Model(image, x))


def wide_unpool() -> Any:
    """3x3 pooling with SAME padding and argmax; overlapping windows are added."""
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            rng = tf.random.Generator.from_seed(3)
            self.first = tf.Variable(rng.normal([3, 3, 3, 8], 0, 0.2))
            self.last = tf.Variable(rng.normal([3, 3, 8, 1], 0, 0.2))

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], name="image")])
        def __call__(self, image: Any) -> dict[str, Any]:
            x = tf.nn.relu(tf.nn.conv2d(image, self.first, 1, "SAME"))
            pooled, places = tf.nn.max_pool_with_argmax(
                x, 3, 2, "SAME", include_batch_in_index=True
            )
            shape = tf.shape(x, out_type=tf.int64)
            spread = tf.math.unsorted_segment_sum(
                tf.reshape(pooled * 0.5, [-1]), tf.reshape(places, [-1]), tf.reduce_prod(shape)
            )
            x = tf.reshape(spread, shape) + x
            return {"map": tf.sigmoid(tf.nn.conv2d(x, self.last, 1, "SAME"))}

    return Net()
