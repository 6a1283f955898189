// MaxUnpool2d. On linear NCHW, a thread spreads N adjacent values: it loads N values and N places
// and stores 2 x 2N values, most of them zero. Value row r becomes the rows 2r and 2r + 1. 2N
// values are 16 bytes, so that neighboring threads store without gaps. On HWC8, a thread spreads
// eight channels of one pixel.
#include "elements.cuh"

template <typename T, int N>
__device__ void max_unpool_2d(const T *values, const T *place, int rows, int width, T *x)
{
    const int packs = width / N;
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<long long>(rows) * packs) {
        return;
    }
    const long long row = index / packs;
    const long long column = index % packs;
    const auto value = reinterpret_cast<const Pack<T, N> *>(values + row * width)[column];
    const auto at = reinterpret_cast<const Pack<T, N> *>(place + row * width)[column];
    const T zero = from_float<T>(0.0f);
#pragma unroll
    for (int below = 0; below < 2; ++below) {
        Pack<T, 2 * N> spread;
#pragma unroll
        for (int i = 0; i < 2 * N; ++i) {
            // The place of this element within its window: 0, 1 above; 2, 3 below.
            const float here = static_cast<float>(2 * below + i % 2);
            spread.v[i] = to_float(at.v[i / 2]) == here ? value.v[i / 2] : zero;
        }
        reinterpret_cast<Pack<T, 2 * N> *>(x + (4 * row + 2 * below) * width)[column] = spread;
    }
}

// The same on HWC8: (N, H, W, groups, 8). Rows of all samples are adjacent in memory.
template <typename T>
__device__ void max_unpool_2d_hwc8(const T *values, const T *place, int rows, int width, int groups,
                                   T *x)
{
    using Eight = Pack<T, 8>;
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long across = static_cast<long long>(width) * groups;
    if (index >= rows * across) {
        return;
    }
    const long long row = index / across, column = index % across / groups, group = index % groups;
    const Eight value = reinterpret_cast<const Eight *>(values)[index];
    const Eight at = reinterpret_cast<const Eight *>(place)[index];
    const T zero = from_float<T>(0.0f);
    auto *top = reinterpret_cast<Eight *>(x) + 4 * row * across + 2 * column * groups + group;
#pragma unroll
    for (int here = 0; here < 4; ++here) {
        Eight spread;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            spread.v[i] = to_float(at.v[i]) == static_cast<float>(here) ? value.v[i] : zero;
        }
        top[here / 2 * 2 * across + here % 2 * groups] = spread;
    }
}

#define ENTRY(NAME, T, N)                                                                          \
    extern "C" __global__ void NAME(const T *values, const T *place, int rows, int width, T *x)    \
    {                                                                                              \
        max_unpool_2d<T, N>(values, place, rows, width, x);                                        \
    }

ENTRY(max_unpool_2d_f32_x2, float, 2)
ENTRY(max_unpool_2d_f32_x1, float, 1)
ENTRY(max_unpool_2d_f16_x4, half_bits, 4)
ENTRY(max_unpool_2d_f16_x1, half_bits, 1)

extern "C" __global__ void max_unpool_2d_f16_hwc8(const half_bits *values, const half_bits *place,
                                                  int rows, int width, int groups, half_bits *x)
{
    max_unpool_2d_hwc8(values, place, rows, width, groups, x);
}
