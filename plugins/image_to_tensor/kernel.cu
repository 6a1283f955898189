// ImageToTensor. A thread makes N results side by side in every channel, each the mean of a box of
// the picture.
#include "box.cuh"
#include "pictures.cuh"

// The mean of a box, to column ``i`` of ``pixels``. Sums along a row are whole and under 2^24; all
// of a row's pixels but the first and the last count in full.
template <int N>
__device__ void take_mean(const unsigned char *picture, int width, Box down, Box across, int i,
                          Pixels<N> &pixels)
{
    float red = 0.0f, green = 0.0f, blue = 0.0f;
    const int left = across.first(), right = across.last(), bottom = down.last();
    const int of_first = across.overlap(left), of_last = right > left ? across.overlap(right) : 0;
    for (int y = down.first(); y <= bottom; ++y) {
        const unsigned char *at = pixel(picture, width, y, left);
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
    const float share = 1.0f / (static_cast<float>(down.length()) * static_cast<float>(across.length()));
    pixels.v[0][i] = red * share;
    pixels.v[1][i] = green * share;
    pixels.v[2][i] = blue * share;
}

template <typename T, int N>
__device__ void image_to_tensor(const unsigned char *__restrict__ picture,
                                const float *__restrict__ color, const float *__restrict__ mean,
                                const float *__restrict__ scale, int picture_height,
                                int picture_width, int channels, int rows, int columns, int height,
                                int width, int pad, int area, T *__restrict__ tensor)
{
    const int packs = width / N;
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<long long>(height) * packs) {
        return;
    }
    const int row = static_cast<int>(index / packs);
    const int left = static_cast<int>(index % packs) * N;
    const Box down = box_of(min(row, rows - 1), picture_height, rows, area);
    Pixels<N> pixels;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (row < rows && left + i < columns) {
            const Box across = box_of(left + i, picture_width, columns, area);
            take_mean(picture, picture_width, down, across, i, pixels);
        } else {
            pixels.v[0][i] = pixels.v[1][i] = pixels.v[2][i] = static_cast<float>(pad);
        }
    }
    store<T, N>(pixels, color, mean, scale, channels, static_cast<long long>(height) * width,
                tensor + static_cast<long long>(row) * width + left);
}

#define ENTRY(NAME, T, N)                                                                          \
    extern "C" __global__ void NAME(                                                               \
        const unsigned char *picture, const float *color, const float *mean, const float *scale,   \
        int picture_height, int picture_width, int channels, int rows, int columns, int height,    \
        int width, int pad, int area, T *tensor)                                                   \
    {                                                                                              \
        image_to_tensor<T, N>(picture, color, mean, scale, picture_height, picture_width,          \
                              channels, rows, columns, height, width, pad, area, tensor);          \
    }

ENTRY(image_to_tensor_f32_x4, float, 4)
ENTRY(image_to_tensor_f32_x1, float, 1)
ENTRY(image_to_tensor_f16_x8, half_bits, 8)
ENTRY(image_to_tensor_f16_x1, half_bits, 1)
