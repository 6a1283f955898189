// Runs CUDA kernels on the CPU, as they are written: the threads of a block are threads here. Built
// with the sanitizers it sees accesses out of bounds, those that are not aligned, and races.
// on_host.py says what it does not see.
//
// There is a copy of each kernel, and so of its shared memory, per multiprocessor: of two, one takes
// the even blocks, one the odd ones, and they wait for each other at the end of a launch alone.
//
// Arguments of the program: NAME GRID BLOCK of each launch, --, then what all kernels take, in order:
//     i:NUMBER    r:FILE (a buffer to read)    w:FILE:BYTES (one to write, kept when it ends)
//     s:BYTES (one that lasts from launch to launch)
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __shared__ static

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

inline thread_local Index threadIdx, blockIdx;
inline Index blockDim, gridDim;

namespace on_host {

constexpr unsigned LANES = 32;

struct Multiprocessor {
    explicit Multiprocessor(unsigned threads)
        : of_block(threads), turn(threads), slots((threads + LANES - 1) / LANES * LANES)
    {
        for (unsigned left = threads; left > 0; left -= std::min(left, LANES)) {
            of_warps.push_back(std::make_unique<std::barrier<>>(std::min(left, LANES)));
        }
    }

    std::barrier<> of_block, turn;
    std::vector<std::unique_ptr<std::barrier<>>> of_warps;
    std::vector<unsigned long long> slots;
};

inline thread_local Multiprocessor *here;

// Every lane of a warp gives a value; returned is what ``read`` makes of all of them.
template <typename T, typename Read> auto shared_in_warp(T value, Read read)
{
    static_assert(sizeof(T) <= sizeof(unsigned long long));
    auto *const slots = &here->slots[threadIdx.x / LANES * LANES];
    auto &barrier = *here->of_warps[threadIdx.x / LANES];
    std::memcpy(&slots[threadIdx.x % LANES], &value, sizeof value);
    barrier.arrive_and_wait();
    const auto result = read([slots](unsigned lane) {
        T other;
        std::memcpy(&other, &slots[lane], sizeof other);
        return other;
    });
    barrier.arrive_and_wait();
    return result;
}

template <typename T> T exchanged(T value, unsigned lane)
{
    return shared_in_warp(value, [lane](auto of) { return of(lane); });
}

// Changes a value at once, as seen by all threads, and returns what it was.
template <typename T, typename Change> T updated(T *at, Change change)
{
    T seen = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(at, &seen, change(seen), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return seen;
}

// As cudaMalloc aligns; not a byte more than asked for.
struct Buffer {
    explicit Buffer(std::size_t size) : bytes(size)
    {
        if (posix_memalign(&data, 256, size) != 0) {
            std::abort();
        }
        std::fill_n(static_cast<char *>(data), size, '\xcd');
    }
    Buffer(Buffer &&other) noexcept : data(other.data), bytes(other.bytes) { other.data = nullptr; }
    ~Buffer() { std::free(data); }

    void *data = nullptr;
    std::size_t bytes;
};

struct Arguments {
    explicit Arguments(const std::vector<std::string> &words)
    {
        for (const auto &word : words) {
            const std::string rest = word.substr(2);
            if (word[0] == 'i') {
                values.push_back({std::stoll(rest), nullptr});
            } else {
                values.push_back({0, word[0] == 'r' ? read(rest) : room(word[0] == 'w', rest)});
            }
        }
    }

    void *read(const std::string &name)
    {
        std::ifstream file(name, std::ios::binary);
        const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
        buffers.emplace_back(bytes.size());
        std::copy(bytes.begin(), bytes.end(), static_cast<char *>(buffers.back().data));
        return buffers.back().data;
    }

    void *room(bool is_kept, const std::string &text)
    {
        const auto bytes = is_kept ? text.rfind(':') + 1 : 0;
        buffers.emplace_back(std::stoull(text.substr(bytes)));
        if (is_kept) {
            results.emplace_back(text.substr(0, bytes - 1), buffers.size() - 1);
        }
        return buffers.back().data;
    }

    template <typename T> T at(std::size_t index) const
    {
        if constexpr (std::is_pointer_v<T>) {
            return static_cast<T>(values.at(index).data);
        } else {
            return static_cast<T>(values.at(index).number);
        }
    }

    void write() const
    {
        for (const auto &[name, index] : results) {
            std::ofstream file(name, std::ios::binary);
            file.write(static_cast<const char *>(buffers[index].data), buffers[index].bytes);
        }
    }

    struct Value {
        long long number;
        void *data;
    };
    std::vector<Value> values;
    std::vector<Buffer> buffers;
    std::vector<std::pair<std::string, std::size_t>> results;
};

template <typename... A, std::size_t... I>
std::tuple<A...> values_of(const Arguments &arguments, std::index_sequence<I...>)
{
    return {arguments.at<A>(I)...};
}

// One launch; ``copies`` of the kernel, one for each multiprocessor.
template <typename... A>
void launch(const std::vector<void (*)(A...)> &copies, const Arguments &arguments)
{
    if (arguments.values.size() != sizeof...(A)) {
        std::fprintf(stderr, "the kernel takes %zu arguments, the launch gives %zu\n", sizeof...(A),
                     arguments.values.size());
        std::exit(1);
    }
    const auto values = values_of<A...>(arguments, std::index_sequence_for<A...>());
    std::vector<std::unique_ptr<Multiprocessor>> multiprocessors;
    std::vector<std::thread> threads;
    for (unsigned copy = 0; copy < copies.size(); ++copy) {
        multiprocessors.push_back(std::make_unique<Multiprocessor>(blockDim.x));
        for (unsigned number = 0; number < blockDim.x; ++number) {
            threads.emplace_back([&values, &copies, copy, number, own = multiprocessors[copy].get()] {
                here = own;
                threadIdx.x = number;
                for (blockIdx.x = copy; blockIdx.x < gridDim.x; blockIdx.x += copies.size()) {
                    std::apply(copies[copy], values);
                    own->turn.arrive_and_wait();
                }
            });
        }
    }
    for (auto &thread : threads) {
        thread.join();
    }
}

// All launches of the program's arguments; ``named`` makes the one of a name.
template <typename Named> int run(int argc, char **argv, Named named)
{
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto end = std::find(words.begin(), words.end(), "--");
    Arguments arguments({end + 1, words.end()});
    for (auto word = words.begin(); word != end; word += 3) {
        gridDim.x = std::stoul(word[1]);
        blockDim.x = std::stoul(word[2]);
        named(word[0], arguments);
    }
    arguments.write();
    return 0;
}

}  // namespace on_host

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
T atomicCAS(T *at, std::type_identity_t<T> wanted, std::type_identity_t<T> value)
{
    return on_host::updated(at, [=](T seen) { return seen == wanted ? value : seen; });
}
