// Element types of the kernels. NVRTC's package has no headers of the CUDA toolkit, so there is no
// cuda_fp16.h.
#pragma once

// The bits of an IEEE half. Kernels compute in float.
struct half_bits {
    unsigned short bits;
};

__device__ inline float to_float(float value) { return value; }

__device__ inline float to_float(half_bits value)
{
#ifdef __CUDACC__
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
#else
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    const float size = exponent == 0    ? ldexpf(fraction, -24)
                       : exponent == 31 ? (fraction ? NAN : INFINITY)
                                        : ldexpf(1024 + fraction, exponent - 25);
    return value.bits >> 15 ? -size : size;
#endif
}

template <typename T> __device__ T from_float(float value);

template <> __device__ inline float from_float<float>(float value) { return value; }

template <> __device__ inline half_bits from_float<half_bits>(float value)
{
    half_bits result;
#ifdef __CUDACC__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#else
    const float size = fabsf(value);
    int exponent = 0;
    frexpf(size, &exponent);
    exponent = size == 0 || exponent < -13 ? -14 : exponent - 1;
    const int fraction = size < 65520 ? lrintf(ldexpf(size, 10 - exponent)) : 0;
    result.bits = value != value ? 0x7e00 : size < 65520 ? ((exponent + 14) << 10) + fraction : 0x7c00;
    result.bits |= __builtin_signbit(value) ? 0x8000 : 0;
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

// N adjacent values that one instruction loads or stores; at most 16 bytes.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack {
    T v[N];
};
