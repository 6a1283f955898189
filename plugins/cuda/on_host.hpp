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
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
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

inline thread_local Index threadIdx, blockIdx, blockDim, gridDim;

namespace on_host {

constexpr unsigned STREAMS = 32;

struct Multiprocessor {
    explicit Multiprocessor(unsigned threads)
        : of_block(threads), turn(threads)
    {
        for (auto &one : slots) {
            one.resize((threads + STREAMS - 1) / STREAMS * STREAMS);
        }
        for (unsigned left = threads; left > 0; left -= std::min(left, STREAMS)) {
            of_warps.push_back(std::make_unique<std::barrier<>>(std::min(left, STREAMS)));
        }
    }

    std::barrier<> of_block, turn;
    std::vector<std::unique_ptr<std::barrier<>>> of_warps;
    std::vector<unsigned long long> slots[2];
};

inline thread_local Multiprocessor *here;
inline thread_local bool slots_in_turn;

// Every stream of a warp gives a value; returned is what ``read`` makes of all of them. Two sets of
// slots in turns: who is at the barrier for the one no longer reads the other.
template <typename T, typename Read> auto shared_in_warp(T value, Read read)
{
    static_assert(sizeof(T) <= sizeof(unsigned long long));
    slots_in_turn = !slots_in_turn;
    auto *const slots = &here->slots[slots_in_turn][threadIdx.x / STREAMS * STREAMS];
    auto &barrier = *here->of_warps[threadIdx.x / STREAMS];
    std::memcpy(&slots[threadIdx.x % STREAMS], &value, sizeof value);
    barrier.arrive_and_wait();
    return read([slots](unsigned stream) {
        T other;
        std::memcpy(&other, &slots[stream], sizeof other);
        return other;
    });
}

template <typename T> T exchanged(T value, unsigned stream)
{
    return shared_in_warp(value, [stream](auto of) { return of(stream); });
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

// What runs a thread of a kernel, for each copy of it.
template <typename... A>
std::vector<std::function<void()>> bound(const std::vector<void (*)(A...)> &copies,
                                         const Arguments &arguments)
{
    if (arguments.values.size() != sizeof...(A)) {
        std::fprintf(stderr, "the kernel takes %zu arguments, the launch gives %zu\n", sizeof...(A),
                     arguments.values.size());
        std::exit(1);
    }
    const auto values = values_of<A...>(arguments, std::index_sequence_for<A...>());
    std::vector<std::function<void()>> kernels;
    for (const auto kernel : copies) {
        kernels.push_back([kernel, values] { std::apply(kernel, values); });
    }
    return kernels;
}

struct Launch {
    Launch(unsigned blocks, unsigned threads, std::vector<std::function<void()>> kernels)
        : blocks(blocks), threads(threads), kernels(std::move(kernels))
    {
        for (std::size_t copy = 0; copy < this->kernels.size(); ++copy) {
            multiprocessors.push_back(std::make_unique<Multiprocessor>(threads));
        }
    }

    void run(unsigned copy, unsigned number) const
    {
        here = multiprocessors[copy].get();
        threadIdx.x = number;
        blockDim.x = threads;
        gridDim.x = blocks;
        for (blockIdx.x = copy; blockIdx.x < blocks; blockIdx.x += kernels.size()) {
            kernels[copy]();
            here->turn.arrive_and_wait();
        }
    }

    unsigned blocks, threads;
    std::vector<std::function<void()>> kernels;
    std::vector<std::unique_ptr<Multiprocessor>> multiprocessors;
};

// All launches that the program's arguments name, by threads that stay. ``named`` is the kernel of a
// name, bound to its arguments.
template <typename Named> int run(int argc, char **argv, Named named)
{
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto end = std::find(words.begin(), words.end(), "--");
    Arguments arguments({end + 1, words.end()});
    std::vector<Launch> launches;
    unsigned most = 0;
    for (auto word = words.begin(); word != end; word += 3) {
        launches.emplace_back(std::stoul(word[1]), std::stoul(word[2]), named(word[0], arguments));
        most = std::max(most, launches.back().threads);
    }
    const unsigned copies = launches.at(0).kernels.size();
    std::barrier launch_ends(copies * most);
    std::vector<std::thread> threads;
    for (unsigned thread = 0; thread < copies * most; ++thread) {
        threads.emplace_back([&launches, &launch_ends, copy = thread / most, number = thread % most] {
            for (const auto &launch : launches) {
                if (number < launch.threads) {
                    launch.run(copy, number);
                }
                launch_ends.arrive_and_wait();
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    arguments.write();
    return 0;
}

}  // namespace on_host

#include "on_host_functions.hpp"
