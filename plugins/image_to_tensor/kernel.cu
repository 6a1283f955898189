// ImageToTensor. A thread makes one result in every channel, the mean of a box of the picture.
#include "box.cuh"
#include "pictures.cuh"

// The mean of a box. Sums along a row are whole and under 2^25: all of its pixels are taken in
// full, and what the first and the last one have outside of the box is taken back.
__device__ Pixels<1> mean_of(const unsigned char *picture, int height, int width, Box down, Box across)
{
    float red = 0.0f, green = 0.0f, blue = 0.0f;
    const int left = across.first(), right = across.last(), bottom = down.last();
    const int before = across.begin - left * across.unit;
    const int after = (right + 1) * across.unit - across.end;
    for (int y = down.first(); y <= bottom; ++y) {
        const unsigned char *first = pixel(picture, width, y, left);
        const unsigned char *last = pixel(picture, width, y, right);
        const Sums row = sums_of(first, right - left + 1, pixel(picture, width, height, 0));
        const float weight = static_cast<float>(down.overlap(y));
        red += weight * static_cast<float>(across.unit * row.red - before * first[0] - after * last[0]);
        green += weight * static_cast<float>(across.unit * row.green - before * first[1] - after * last[1]);
        blue += weight * static_cast<float>(across.unit * row.blue - before * first[2] - after * last[2]);
    }
    const float share = 1.0f / (static_cast<float>(down.length()) * static_cast<float>(across.length()));
    return {{{red * share}, {green * share}, {blue * share}}};
}

template <typename T>
__device__ void image_to_tensor(const unsigned char *__restrict__ picture,
                                const float *__restrict__ color, const float *__restrict__ mean,
                                const float *__restrict__ scale, int picture_height,
                                int picture_width, int channels, int rows, int columns, int height,
                                int width, int pad, int area, T *__restrict__ tensor)
{
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<long long>(height) * width) {
        return;
    }
    const int row = static_cast<int>(index / width), column = static_cast<int>(index % width);
    const float padding = static_cast<float>(pad);
    Pixels<1> pixels = {{{padding}, {padding}, {padding}}};
    if (row < rows && column < columns) {
        pixels = mean_of(picture, picture_height, picture_width,
                         box_of(row, picture_height, rows, area),
                         box_of(column, picture_width, columns, area));
    }
    store<T, 1>(pixels, color, mean, scale, channels, static_cast<long long>(height) * width,
                tensor + index);
}

#define ENTRY(NAME, T)                                                                             \
    extern "C" __global__ void NAME(                                                               \
        const unsigned char *picture, const float *color, const float *mean, const float *scale,   \
        int picture_height, int picture_width, int channels, int rows, int columns, int height,    \
        int width, int pad, int area, T *tensor)                                                   \
    {                                                                                              \
        image_to_tensor<T>(picture, color, mean, scale, picture_height, picture_width, channels,   \
                           rows, columns, height, width, pad, area, tensor);                       \
    }

ENTRY(image_to_tensor_f32, float)
ENTRY(image_to_tensor_f16, half_bits)
