// Shared by the kernels that turn images into tensors: RGB bytes (H, W, 3) in, planes of floats
// out.
#pragma once

#include "elements.cuh"

// Returns the address of a pixel's three bytes. An image may have more than 2^31 bytes.
__device__ inline const unsigned char *pixel(const unsigned char *image, int width, int y, int x)
{
    return image + 3 * (static_cast<long long>(y) * width + x);
}

// N adjacent pixels, by channel, in the registers of a thread.
template <int N> struct Pixels {
    float v[3][N];
};

// Stores (color * pixel - mean) * scale to each channel's plane. Planes are ``plane`` values apart.
// ``color`` is (channels, 3), row-major.
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
