// CropWarp. A block computes part of one crop: its first thread computes the crop's map, then each
// thread computes N adjacent results in every channel. A result is the mean of a box of samples.
// The samples are the pixels of the straightened text at its own resolution, which is never stored.
#include "box.cuh"
#include "images.cuh"

constexpr float FARTHEST = 65536.0f;   // pixels; a quadrilateral with a coordinate beyond is invalid
constexpr float MOST_SAMPLES = 16.0f;  // per result, along one side

// The map of a crop to the image. The crop's point (u, v), each 0 to 1, is at
//     origin + (u * across + v * down) / (1 + g * u + h * v)
// This is Heckbert's map from the unit square ("Fundamentals of Texture Mapping and Image Warping",
// 1989, section 2.2.3), relative to the first corner, which loses fewer digits in float.
struct Warp {
    float origin[2], across[2], down[2], g, h;
    int columns;  // results per row; 0: the crop is only padding
    int samples_across, samples_down;  // of the whole crop
    bool area;
};

__device__ inline float distance(const float *a, const float *b)
{
    const float x = a[0] - b[0], y = a[1] - b[1];
    return sqrtf(x * x + y * y);
}

// Computes the map. ``corners``: x and y of the text's top left, top right, bottom right, bottom
// left. The result is written to ``warp`` rather than returned, because ThreadSanitizer does not
// see writes to a compiler's return slot.
__device__ inline void set_warp(const float *corners, int height, int width, Warp &warp)
{
    const float *p0 = corners, *p1 = corners + 2, *p2 = corners + 4, *p3 = corners + 6;
    warp = {};
    bool is_near = true;
    for (int i = 0; i < 8; ++i) {
        is_near = is_near && fabsf(corners[i]) <= FARTHEST;  // false for NaN
    }
    const float x1 = p1[0] - p2[0], y1 = p1[1] - p2[1], x2 = p3[0] - p2[0], y2 = p3[1] - p2[1];
    const float size = x1 * y2 - x2 * y1;
    if (!is_near || size == 0.0f) {
        return;
    }
    // As ocr.crop.quad_size and the width at the crop's height, rounded to whole pixels.
    const float across = fmaxf(rintf((distance(p0, p1) + distance(p2, p3)) / 2), 1.0f);
    const float down = fmaxf(rintf((distance(p1, p2) + distance(p3, p0)) / 2), 1.0f);
    const float columns = fminf(fmaxf(rintf(across * height / down), 1.0f), width);
    warp.columns = static_cast<int>(columns);
    warp.samples_across = static_cast<int>(fminf(across, MOST_SAMPLES * columns));
    warp.samples_down = static_cast<int>(fminf(down, MOST_SAMPLES * height));
    warp.area = columns * height < across * down;
    const float x3 = p0[0] - p1[0] - x2, y3 = p0[1] - p1[1] - y2;
    warp.g = (x3 * y2 - x2 * y3) / size;
    warp.h = (x1 * y3 - x3 * y1) / size;
    for (int i = 0; i < 2; ++i) {
        warp.origin[i] = p0[i];
        warp.across[i] = (p1[i] - p0[i]) * (1.0f + warp.g);
        warp.down[i] = (p3[i] - p0[i]) * (1.0f + warp.h);
    }
}

// Returns a position along a side, counted from the center of its first pixel and clamped to the
// side. NaN becomes the first pixel.
__device__ inline float within(float position, int size)
{
    return fminf(fmaxf(position - 0.5f, 0.0f), static_cast<float>(size - 1));
}

// Adds ``weight`` times the bilinear sample at a position to column ``i`` of ``pixels``.
template <int N>
__device__ void add_sample(const unsigned char *image, int image_height, int image_width,
                           float x, float y, float weight, int i, Pixels<N> &pixels)
{
    const int left = static_cast<int>(x), top = static_cast<int>(y);
    const int right = min(left + 1, image_width - 1), bottom = min(top + 1, image_height - 1);
    const float to_right = x - left, to_bottom = y - top;
    const unsigned char *a = pixel(image, image_width, top, left);
    const unsigned char *b = pixel(image, image_width, top, right);
    const unsigned char *c = pixel(image, image_width, bottom, left);
    const unsigned char *d = pixel(image, image_width, bottom, right);
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        const float over = a[channel] + to_right * (b[channel] - a[channel]);
        const float under = c[channel] + to_right * (d[channel] - c[channel]);
        pixels.v[channel][i] += weight * (over + to_bottom * (under - over));
    }
}

// Adds the mean of a box of samples to column ``i`` of ``pixels``.
template <int N>
__device__ void take_mean(const unsigned char *image, int image_height, int image_width,
                          const Warp &warp, Box down, Box across, int i, Pixels<N> &pixels)
{
    const float share_down = 1.0f / down.length(), share_across = 1.0f / across.length();
    const float u_step = 1.0f / warp.samples_across, v_step = 1.0f / warp.samples_down;
    const int right = across.last(), bottom = down.last();
    for (int sample_down = down.first(); sample_down <= bottom; ++sample_down) {
        const float v = (sample_down + 0.5f) * v_step;
        const float weight_down = down.overlap(sample_down) * share_down;
        for (int sample_across = across.first(); sample_across <= right; ++sample_across) {
            const float u = (sample_across + 0.5f) * u_step;
            const float weight = across.overlap(sample_across) * share_across * weight_down;
            const float nearness = 1.0f / (1.0f + warp.g * u + warp.h * v);
            const float x = (u * warp.across[0] + v * warp.down[0]) * nearness + warp.origin[0];
            const float y = (u * warp.across[1] + v * warp.down[1]) * nearness + warp.origin[1];
            add_sample(image, image_height, image_width, within(x, image_width),
                       within(y, image_height), weight, i, pixels);
        }
    }
}

template <typename T, int N>
__device__ void crop_warp(const unsigned char *__restrict__ image,
                          const float *__restrict__ quads, const float *__restrict__ color,
                          const float *__restrict__ mean, const float *__restrict__ scale,
                          int image_height, int image_width, int count, int channels,
                          int height, int width, int pad, T *__restrict__ crops)
{
    __shared__ Warp warp;
    const int packs = width / N;
    const int results = height * packs;
    const int blocks = (results - 1) / static_cast<int>(blockDim.x) + 1;  // of one crop
    const long long crop = blockIdx.x / blocks;
    const long long index =
        static_cast<long long>(blockIdx.x % blocks) * blockDim.x + threadIdx.x;
    if (crop >= count) {
        return;
    }
    // One thread computes the map; the others wait, and only then may threads without work return.
    if (threadIdx.x == 0) {
        set_warp(quads + 8 * crop, height, width, warp);
    }
    __syncthreads();
    if (index >= results) {
        return;
    }
    const int row = static_cast<int>(index / packs);
    const int left = static_cast<int>(index % packs) * N;
    const Box down = box_of(row, warp.samples_down, height, warp.area);
    Pixels<N> pixels;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const bool is_text = left + i < warp.columns;
        const float start = is_text ? 0.0f : static_cast<float>(pad);
        pixels.v[0][i] = pixels.v[1][i] = pixels.v[2][i] = start;
        if (is_text) {
            const Box across = box_of(left + i, warp.samples_across, warp.columns, warp.area);
            take_mean(image, image_height, image_width, warp, down, across, i, pixels);
        }
    }
    const long long plane = static_cast<long long>(height) * width;
    store<T, N>(pixels, color, mean, scale, channels, plane,
                crops + crop * channels * plane + static_cast<long long>(row) * width + left);
}

#define ENTRY(NAME, T, N)                                                                          \
    extern "C" __global__ void NAME(                                                               \
        const unsigned char *image, const float *quads, const float *color, const float *mean,   \
        const float *scale, int image_height, int image_width, int count, int channels,        \
        int height, int width, int pad, T *crops)                                                  \
    {                                                                                              \
        crop_warp<T, N>(image, quads, color, mean, scale, image_height, image_width, count,  \
                        channels, height, width, pad, crops);                                      \
    }

ENTRY(crop_warp_f32_x4, float, 4)
ENTRY(crop_warp_f32_x1, float, 1)
ENTRY(crop_warp_f16_x8, half_bits, 8)
ENTRY(crop_warp_f16_x1, half_bits, 1)
