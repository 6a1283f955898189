// Runs a CUDA kernel on the CPU, as it is written: the threads of a block are threads here, blocks
// follow each other. Built with the sanitizers it sees accesses out of bounds, those that are not
// aligned, and races in shared memory. on_host.py says what it does not see.
//
// Arguments of the program: grid, block, then the kernel's own, in order:
//     i:NUMBER    r:FILE (a buffer to read)    w:FILE:BYTES (one to write, kept when it ends)
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#define __device__
#define __global__
#define __shared__ static

struct Index {
    unsigned x = 0, y = 0, z = 0;
};

inline thread_local Index threadIdx;
inline Index blockIdx, blockDim, gridDim;

namespace on_host {

constexpr unsigned LANES = 32;

inline std::unique_ptr<std::barrier<>> of_block;
inline std::vector<std::unique_ptr<std::barrier<>>> of_warps;
inline std::vector<unsigned long long> slots;

// All lanes of a warp give a value, and each gets that of another lane.
template <typename T> T exchanged(T value, unsigned lane)
{
    static_assert(sizeof(T) <= sizeof(unsigned long long));
    const unsigned warp = threadIdx.x / LANES;
    std::memcpy(&slots[threadIdx.x], &value, sizeof value);
    of_warps[warp]->arrive_and_wait();
    std::memcpy(&value, &slots[warp * LANES + lane], sizeof value);
    of_warps[warp]->arrive_and_wait();
    return value;
}

// As cudaMalloc aligns; not a byte more than asked for.
struct Buffer {
    explicit Buffer(std::size_t size) : bytes(size)
    {
        if (posix_memalign(&data, 256, size) != 0) {
            std::abort();
        }
    }
    Buffer(Buffer &&other) noexcept : data(other.data), bytes(other.bytes) { other.data = nullptr; }
    ~Buffer() { std::free(data); }

    void *data = nullptr;
    std::size_t bytes;
};

struct Arguments {
    explicit Arguments(std::vector<std::string> words) : words(std::move(words)) {}

    template <typename T> T next()
    {
        const std::string word = words.at(used++);
        const std::string rest = word.substr(2);
        if constexpr (!std::is_pointer_v<T>) {
            return static_cast<T>(std::stoll(rest));
        } else if (word[0] == 'r') {
            std::ifstream file(rest, std::ios::binary);
            const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
            buffers.emplace_back(bytes.size());
            std::copy(bytes.begin(), bytes.end(), static_cast<char *>(buffers.back().data));
        } else {
            const auto colon = rest.rfind(':');
            buffers.emplace_back(std::stoull(rest.substr(colon + 1)));
            std::fill_n(static_cast<char *>(buffers.back().data), buffers.back().bytes, '\xcd');
            results.emplace_back(rest.substr(0, colon), buffers.size() - 1);
        }
        if constexpr (std::is_pointer_v<T>) {
            return static_cast<T>(buffers.back().data);
        }
    }

    void write() const
    {
        for (const auto &[name, index] : results) {
            std::ofstream file(name, std::ios::binary);
            file.write(static_cast<const char *>(buffers[index].data), buffers[index].bytes);
        }
    }

    std::vector<std::string> words;
    std::size_t used = 0;
    std::vector<Buffer> buffers;
    std::vector<std::pair<std::string, std::size_t>> results;
};

template <typename... A> int run(void (*kernel)(A...), int argc, char **argv)
{
    gridDim.x = std::stoul(argv[1]);
    blockDim.x = std::stoul(argv[2]);
    Arguments arguments({argv + 3, argv + argc});
    const std::tuple<A...> values{arguments.next<A>()...};  // braces: in order
    slots.assign((blockDim.x + LANES - 1) / LANES * LANES, 0);
    of_block = std::make_unique<std::barrier<>>(blockDim.x);
    for (unsigned left = blockDim.x; left > 0; left -= std::min(left, LANES)) {
        of_warps.push_back(std::make_unique<std::barrier<>>(std::min(left, LANES)));
    }
    std::barrier turn(blockDim.x);
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < blockDim.x; ++number) {
        threads.emplace_back([&, number] {
            threadIdx.x = number;
            for (unsigned block = 0; block < gridDim.x; ++block) {
                if (number == 0) {
                    blockIdx.x = block;
                }
                turn.arrive_and_wait();
                std::apply(kernel, values);
                turn.arrive_and_wait();
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

inline void __syncthreads() { on_host::of_block->arrive_and_wait(); }

template <typename T> T __shfl_xor_sync(unsigned, T value, unsigned mask)
{
    return on_host::exchanged(value, (threadIdx.x % on_host::LANES) ^ mask);
}
