// MaxPoolArgmax2d. On linear NCHW, a thread computes N adjacent results: it loads 2 x 2N values and
// stores N maxima and N places. Rows of all channels and samples are adjacent in memory, so result
// row r is computed from the rows 2r and 2r + 1. On HWC8, a thread computes eight channels of one
// pixel.
#include "elements.cuh"

// Replaces the best value by a larger one. The first of equal values stays. A NaN replaces any
// number; the first NaN stays. The comparison is negated because it is false for NaN.
template <typename T> __device__ void take(T value, int place, T &best, int &where)
{
    const float high = to_float(best);
    if (high == high && !(to_float(value) <= high)) {
        best = value;
        where = place;
    }
}

template <typename T, int N>
__device__ void max_pool_argmax_2d(const T *x, int rows, int width, T *pooled, T *place)
{
    const int packs = width / N;
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<long long>(rows) * packs) {
        return;
    }
    // x has 2 * width values per row and two rows per result row: row r begins at 4 * r * width.
    const long long row = index / packs;
    const long long column = index % packs;
    const auto *top = reinterpret_cast<const Pack<T, N> *>(x + 4 * row * width) + 2 * column;
    const auto *bottom = reinterpret_cast<const Pack<T, N> *>(x + (4 * row + 2) * width) + 2 * column;
    const Pack<T, N> above[2] = {top[0], top[1]};
    const Pack<T, N> below[2] = {bottom[0], bottom[1]};
    Pack<T, N> maxima, places;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const int left = 2 * i, right = 2 * i + 1;
        T best = above[left / N].v[left % N];
        int where = 0;
        take(above[right / N].v[right % N], 1, best, where);
        take(below[left / N].v[left % N], 2, best, where);
        take(below[right / N].v[right % N], 3, best, where);
        maxima.v[i] = best;
        places.v[i] = from_float<T>(static_cast<float>(where));
    }
    reinterpret_cast<Pack<T, N> *>(pooled + row * width)[column] = maxima;
    reinterpret_cast<Pack<T, N> *>(place + row * width)[column] = places;
}

// The same on HWC8: (N, H, W, groups, 8). Rows of all samples are adjacent in memory.
template <typename T>
__device__ void max_pool_argmax_2d_hwc8(const T *x, int rows, int width, int groups, T *pooled,
                                        T *place)
{
    using Eight = Pack<T, 8>;
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long across = static_cast<long long>(width) * groups;
    if (index >= rows * across) {
        return;
    }
    const long long row = index / across, column = index % across / groups, group = index % groups;
    const auto *top = reinterpret_cast<const Eight *>(x) + 4 * row * across +
                      2 * column * groups + group;
    const auto *bottom = top + 2 * across;
    const Eight window[4] = {top[0], top[groups], bottom[0], bottom[groups]};
    Eight maxima, places;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        T best = window[0].v[i];
        int where = 0;
#pragma unroll
        for (int at = 1; at < 4; ++at) {
            take(window[at].v[i], at, best, where);
        }
        maxima.v[i] = best;
        places.v[i] = from_float<T>(static_cast<float>(where));
    }
    reinterpret_cast<Eight *>(pooled)[index] = maxima;
    reinterpret_cast<Eight *>(place)[index] = places;
}

#define ENTRY(NAME, T, N)                                                                          \
    extern "C" __global__ void NAME(const T *x, int rows, int width, T *pooled, T *place)          \
    {                                                                                              \
        max_pool_argmax_2d<T, N>(x, rows, width, pooled, place);                                   \
    }

ENTRY(max_pool_argmax_2d_f32_x4, float, 4)
ENTRY(max_pool_argmax_2d_f32_x1, float, 1)
ENTRY(max_pool_argmax_2d_f16_x8, half_bits, 8)
ENTRY(max_pool_argmax_2d_f16_x1, half_bits, 1)

extern "C" __global__ void max_pool_argmax_2d_f16_hwc8(const half_bits *x, int rows, int width,
                                                       int groups, half_bits *pooled,
                                                       half_bits *place)
{
    max_pool_argmax_2d_hwc8(x, rows, width, groups, pooled, place);
}
