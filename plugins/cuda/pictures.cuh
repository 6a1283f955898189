// What kernels that make tensors of pictures share: RGB bytes (H, W, 3) in, planes of floats out.
#pragma once

#include "elements.cuh"

// The first of a pixel's three bytes. A picture may have more than 2^31 bytes.
__device__ inline const unsigned char *pixel(const unsigned char *picture, int width, int y, int x)
{
    return picture + 3 * (static_cast<long long>(y) * width + x);
}

struct Sums {
    int red, green, blue;
};

// sum + the bytes of ``word`` of which ``chosen`` has a 1, each in a byte.
__device__ inline int with_bytes(unsigned word, unsigned chosen, int sum)
{
#ifdef __CUDACC__
    int result;
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(word), "r"(chosen), "r"(sum));
    return result;
#else
    for (int shift = 0; shift < 32; shift += 8) {
        sum += static_cast<int>((word >> shift & 255) * (chosen >> shift & 255));
    }
    return sum;
#endif
}

// The first bytes of a word, as many as there are of four.
__device__ inline unsigned first_bytes(unsigned word, int count)
{
    return count >= 4 ? word : count <= 0 ? 0 : word & ((1u << 8 * count) - 1);
}

// Sums over ``count`` pixels that follow each other. Bytes are loaded by fours, which takes a
// quarter of the time; where that would pass ``end``, behind the picture, one by one.
__device__ inline Sums sums_of(const unsigned char *at, int count, const unsigned char *end)
{
    Sums sums = {0, 0, 0};
    if (end - at < 3LL * count + 16) {
        for (; count > 0; --count, at += 3) {
            sums.red += at[0];
            sums.green += at[1];
            sums.blue += at[2];
        }
        return sums;
    }
    const int skew = static_cast<int>(reinterpret_cast<unsigned long long>(at) & 3);
    const auto *words = reinterpret_cast<const unsigned *>(at - skew);
    unsigned next = words[0];
    for (int left = 3 * count; left > 0; left -= 12, words += 3) {  // four pixels: RGBR GBRG BRGB
        unsigned group[3];
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const unsigned long long two = static_cast<unsigned long long>(words[i + 1]) << 32 | next;
            next = words[i + 1];
            group[i] = first_bytes(static_cast<unsigned>(two >> 8 * skew), left - 4 * i);
        }
        sums.red = with_bytes(group[0], 0x01000001u, sums.red);
        sums.green = with_bytes(group[0], 0x00000100u, sums.green);
        sums.blue = with_bytes(group[0], 0x00010000u, sums.blue);
        sums.red = with_bytes(group[1], 0x00010000u, sums.red);
        sums.green = with_bytes(group[1], 0x01000001u, sums.green);
        sums.blue = with_bytes(group[1], 0x00000100u, sums.blue);
        sums.red = with_bytes(group[2], 0x00000100u, sums.red);
        sums.green = with_bytes(group[2], 0x00010000u, sums.green);
        sums.blue = with_bytes(group[2], 0x01000001u, sums.blue);
    }
    return sums;
}

// N pixels side by side, by channel: what a thread has in registers.
template <int N> struct Pixels {
    float v[3][N];
};

// (color * pixel - mean) * scale, to each of the planes, ``plane`` values apart. ``color`` is
// (channels, 3), row by row.
template <typename T, int N>
__device__ void store(const Pixels<N> &pixels, const float *color, const float *mean,
                      const float *scale, int channels, long long plane, T *to)
{
    for (int channel = 0; channel < channels; ++channel) {
        const float red = color[3 * channel], green = color[3 * channel + 1],
                    blue = color[3 * channel + 2];
        Pack<T, N> values;
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float value =
                red * pixels.v[0][i] + green * pixels.v[1][i] + blue * pixels.v[2][i];
            values.v[i] = from_float<T>((value - mean[channel]) * scale[channel]);
        }
        *reinterpret_cast<Pack<T, N> *>(to + channel * plane) = values;
    }
}
