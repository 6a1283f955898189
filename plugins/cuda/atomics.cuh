// Loads and stores of values that other threads change at the same time: never torn, and in no
// particular order with other accesses.
#pragma once

template <typename T> __device__ inline T load_relaxed(const T *at)
{
#ifdef __CUDACC__
    return *static_cast<const volatile T *>(at);
#else
    return __atomic_load_n(at, __ATOMIC_RELAXED);
#endif
}

template <typename T> __device__ inline void store_relaxed(T *at, T value)
{
#ifdef __CUDACC__
    *static_cast<volatile T *>(at) = value;
#else
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
#endif
}
