// The CUDA functions that the kernels call; included by on_host.hpp.
#pragma once

inline void __syncthreads() { on_host::here->of_block.arrive_and_wait(); }

template <typename T> T __shfl_xor_sync(unsigned, T value, unsigned mask)
{
    return on_host::exchanged(value, (threadIdx.x % on_host::LANES) ^ mask);
}

template <typename T> T __shfl_up_sync(unsigned, T value, unsigned apart)
{
    const unsigned lane = threadIdx.x % on_host::LANES;
    return on_host::exchanged(value, lane < apart ? lane : lane - apart);
}

inline unsigned __ballot_sync(unsigned, int predicate)
{
    return on_host::shared_in_warp(predicate, [](auto of) {
        unsigned bits = 0;
        for (unsigned lane = 0; lane < on_host::LANES; ++lane) {
            bits |= (of(lane) ? 1u : 0u) << lane;
        }
        return bits;
    });
}

inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }

template <typename T> T atomicAdd(T *at, std::type_identity_t<T> value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

template <typename T> T atomicMin(T *at, std::type_identity_t<T> value)
{
    return on_host::updated(at, [value](T seen) { return std::min(seen, value); });
}

template <typename T> T atomicMax(T *at, std::type_identity_t<T> value)
{
    return on_host::updated(at, [value](T seen) { return std::max(seen, value); });
}

template <typename T>
T atomicCAS(T *at, std::type_identity_t<T> expected, std::type_identity_t<T> value)
{
    return on_host::updated(at, [=](T seen) { return seen == expected ? value : seen; });
}
