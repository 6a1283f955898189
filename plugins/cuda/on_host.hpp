// Runs unchanged CUDA kernels on the CPU: each thread of a block is a thread. Built with
// sanitizers, the program detects accesses out of bounds, misaligned accesses, and races.
// on_host.py lists what it does not detect.
//
// Each multiprocessor has a copy of each kernel, and so of its shared memory. Of two
// multiprocessors one runs the even blocks and the other the odd ones. They wait for each other
// only at the end of a launch.
//
// Arguments of the program: NAME GRID BLOCK of each launch, --, then the parameters of all kernels:
//     i:NUMBER         an integer
//     r:FILE           a buffer to read
//     w:FILE:BYTES     a buffer to write, saved to the file at the end
//     s:BYTES          scratch memory that lasts from launch to launch
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

constexpr unsigned LANES = 32;

// The barriers of one block and of its warps, and the values that the lanes of a warp exchange.
struct Multiprocessor {
    explicit Multiprocessor(unsigned threads)
        : of_block(threads), turn(threads)
    {
        for (auto &one : slots) {
            one.resize((threads + LANES - 1) / LANES * LANES);
        }
        for (unsigned left = threads; left > 0; left -= std::min(left, LANES)) {
            of_warps.push_back(std::make_unique<std::barrier<>>(std::min(left, LANES)));
        }
    }

    std::barrier<> of_block, turn;
    std::vector<std::unique_ptr<std::barrier<>>> of_warps;
    std::vector<unsigned long long> slots[2];
};

inline thread_local Multiprocessor *here;
inline thread_local bool slots_in_turn;

// Exchanges one value per lane of a warp and returns ``read`` of all of them. Two sets of slots
// take turns: a lane that waits at the barrier for one set has finished reading the other.
template <typename T, typename Read> auto shared_in_warp(T value, Read read)
{
    static_assert(sizeof(T) <= sizeof(unsigned long long));
    slots_in_turn = !slots_in_turn;
    auto *const slots = &here->slots[slots_in_turn][threadIdx.x / LANES * LANES];
    auto &barrier = *here->of_warps[threadIdx.x / LANES];
    std::memcpy(&slots[threadIdx.x % LANES], &value, sizeof value);
    barrier.arrive_and_wait();
    return read([slots](unsigned lane) {
        T other;
        std::memcpy(&other, &slots[lane], sizeof other);
        return other;
    });
}

template <typename T> T exchanged(T value, unsigned lane)
{
    return shared_in_warp(value, [lane](auto of) { return of(lane); });
}

// Changes a value atomically and returns the old value.
template <typename T, typename Change> T updated(T *at, Change change)
{
    T seen = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(at, &seen, change(seen), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
    return seen;
}

// Memory with the alignment of cudaMalloc, and with exactly the requested size, so that
// AddressSanitizer detects an access just behind it. It is filled with a pattern that is no zero.
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

// The kernels' parameters, read from the program's arguments.
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

// Returns a function per copy of a kernel that runs one of its threads.
template <typename... A>
std::vector<std::function<void()>> bound(const std::vector<void (*)(A...)> &copies,
                                         const Arguments &arguments)
{
    if (arguments.values.size() != sizeof...(A)) {
        std::fprintf(stderr, "the kernel has %zu parameters, the launch passes %zu\n", sizeof...(A),
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

// One launch: its grid, and a multiprocessor for each copy of its kernel.
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

// Runs all launches of the program's arguments. Threads are started once and run all launches.
// ``named`` returns a kernel by its name, with its arguments bound.
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
