// ImageToTensor. A thread computes one pixel of the result in every channel: the mean of a box of
// the image.
#include "box.cuh"
#include "images.cuh"

// Returns the mean of a box. Along a row all pixels except the first and the last have full weight.
// The sum of a row is a whole number below 2^24, so it is exact in float.
__device__ Pixels<1> mean_of(const unsigned char *image, int width, Box down, Box across)
{
    float red = 0.0f, green = 0.0f, blue = 0.0f;
    const int left = across.first(), right = across.last(), bottom = down.last();
    const int of_first = across.overlap(left), of_last = right > left ? across.overlap(right) : 0;
    for (int y = down.first(); y <= bottom; ++y) {
        const unsigned char *at = pixel(image, width, y, left);
        int row_red = of_first * at[0], row_green = of_first * at[1], row_blue = of_first * at[2];
        int full_red = 0, full_green = 0, full_blue = 0;
        for (int x = left + 1; x < right; ++x) {
            at += 3;
            full_red += at[0];
            full_green += at[1];
            full_blue += at[2];
        }
        at += right > left ? 3 : 0;
        row_red += across.unit * full_red + of_last * at[0];
        row_green += across.unit * full_green + of_last * at[1];
        row_blue += across.unit * full_blue + of_last * at[2];
        const float weight = static_cast<float>(down.overlap(y));
        red += weight * static_cast<float>(row_red);
        green += weight * static_cast<float>(row_green);
        blue += weight * static_cast<float>(row_blue);
    }
    const float all = static_cast<float>(down.length()) * static_cast<float>(across.length());
    const float share = 1.0f / all;  // one division instead of three
    return {{{red * share}, {green * share}, {blue * share}}};
}

template <typename T>
__device__ void image_to_tensor(const unsigned char *__restrict__ image,
                                const float *__restrict__ color, const float *__restrict__ mean,
                                const float *__restrict__ scale, int image_height,
                                int image_width, int channels, int rows, int columns, int height,
                                int width, int pad, int area, T *__restrict__ tensor)
{
    const int index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (index >= height * width) {
        return;
    }
    const int row = index / width, column = index % width;
    // Padding is colored and normalized like any pixel.
    const float padding = static_cast<float>(pad);
    Pixels<1> pixels = {{{padding}, {padding}, {padding}}};
    if (row < rows && column < columns) {
        pixels = mean_of(image, image_width, box_of(row, image_height, rows, area),
                         box_of(column, image_width, columns, area));
    }
    store<T, 1>(pixels, color, mean, scale, channels, static_cast<long long>(height) * width,
                tensor + index);
}

#define ENTRY(NAME, T)                                                                             \
    extern "C" __global__ void NAME(                                                               \
        const unsigned char *image, const float *color, const float *mean, const float *scale,   \
        int image_height, int image_width, int channels, int rows, int columns, int height,    \
        int width, int pad, int area, T *tensor)                                                   \
    {                                                                                              \
        image_to_tensor<T>(image, color, mean, scale, image_height, image_width, channels,   \
                           rows, columns, height, width, pad, area, tensor);                       \
    }

ENTRY(image_to_tensor_f32, float)
ENTRY(image_to_tensor_f16, half_bits)
