// What kernels need of types, without the toolkit's headers: NVRTC has none of its own.
#pragma once

// IEEE half precision, as bits. Arithmetic is done in float.
struct half_bits {
    unsigned short bits;
};

__device__ inline float to_float(float value) { return value; }

__device__ inline float to_float(half_bits value)
{
    float result;
#ifdef __CUDACC__
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
#else
    _Float16 half;
    __builtin_memcpy(&half, &value, sizeof half);
    result = static_cast<float>(half);
#endif
    return result;
}

template <typename T> __device__ T from_float(float value);

template <> __device__ inline float from_float<float>(float value) { return value; }

template <> __device__ inline half_bits from_float<half_bits>(float value)
{
    half_bits result;
#ifdef __CUDACC__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
    _Float16 half = static_cast<_Float16>(value);
    __builtin_memcpy(&result, &half, sizeof half);
#endif
    return result;
}

__device__ inline float infinity()
{
#ifdef __CUDACC__
    return __int_as_float(0x7f800000);
#else
    return __builtin_huge_valf();
#endif
}

// N values side by side, which one instruction loads or stores: at most 16 bytes.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T v[N];
};
