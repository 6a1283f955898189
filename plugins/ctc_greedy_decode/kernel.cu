// CtcGreedyDecode: one block per sequence, one warp per time step. The block processes the sequence
// in chunks of WARPS steps. Each warp finds the best class of its step. Then one thread merges
// repeats and drops blanks, which takes few comparisons.
#include "elements.cuh"

constexpr int WARPS = 8;
constexpr unsigned ALL = 0xffffffffu;

// Whether a value is a better maximum: a NaN wins over numbers, then the larger value, then the
// smaller index.
__device__ inline bool beats(float value, int index, float best, int at)
{
    const bool is_nan = value != value, best_is_nan = best != best;
    if (is_nan != best_is_nan) {
        return is_nan;
    }
    return is_nan || value == best ? index < at : value > best;
}

// Returns the index of the largest value of a row in every lane, and the value in ``best``.
template <typename T>
__device__ int warp_argmax(const T *row, int classes, int lane, float &best)
{
    int at = classes;
    best = -infinity();
    for (int i = lane; i < classes; i += 32) {
        const float value = to_float(row[i]);
        if (beats(value, i, best, at)) {
            best = value;
            at = i;
        }
    }
    // A butterfly: after five exchanges every lane has the best of all 32.
    for (int apart = 16; apart > 0; apart /= 2) {
        const float other = __shfl_xor_sync(ALL, best, apart);
        const int other_at = __shfl_xor_sync(ALL, at, apart);
        if (beats(other, other_at, best, at)) {
            best = other;
            at = other_at;
        }
    }
    return at;
}

// Returns log softmax of the best class in every lane: -log(sum(exp(value - best))).
template <typename T>
__device__ float warp_log_softmax_of(const T *row, int classes, int lane, float best)
{
    float sum = 0.0f;
    for (int i = lane; i < classes; i += 32) {
        sum += expf(to_float(row[i]) - best);
    }
    for (int apart = 16; apart > 0; apart /= 2) {
        sum += __shfl_xor_sync(ALL, sum, apart);
    }
    return -logf(sum);
}

template <typename T>
__device__ void ctc_greedy_decode(const T *logits, int sequences, int steps, int classes, int blank,
                                  int *labels, int *lengths, float *scores)
{
    __shared__ int best_of[WARPS];
    __shared__ float log_of[WARPS];
    __shared__ int count;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const long long sequence = blockIdx.x;
    if (sequence >= sequences) {  // all threads of a block, or none
        return;
    }
    logits += sequence * steps * classes;
    labels += sequence * steps;
    // Used by thread 0 only.
    int previous = blank;
    float sum = 0.0f;
    if (threadIdx.x == 0) {
        count = 0;
    }
    __syncthreads();
    for (int first = 0; first < steps; first += WARPS) {
        const int step = first + warp;
        if (step < steps) {
            const T *row = logits + static_cast<long long>(step) * classes;
            float best;
            const int at = warp_argmax(row, classes, lane, best);
            const float log_probability = warp_log_softmax_of(row, classes, lane, best);
            if (lane == 0) {
                best_of[warp] = at;
                log_of[warp] = log_probability;
            }
        }
        __syncthreads();  // all steps of the chunk are in shared memory
        if (threadIdx.x == 0) {
            for (int i = 0; i < WARPS && first + i < steps; ++i) {
                if (best_of[i] != blank && best_of[i] != previous) {
                    labels[count++] = best_of[i];
                    sum += log_of[i];
                }
                previous = best_of[i];
            }
        }
        __syncthreads();  // before the next chunk overwrites them, and before count is read below
    }
    if (threadIdx.x == 0) {
        lengths[sequence] = count;
        scores[sequence] = count > 0 ? sum / count : -infinity();
    }
    for (int i = count + threadIdx.x; i < steps; i += blockDim.x) {
        labels[i] = -1;
    }
}

#define ENTRY(NAME, T)                                                                             \
    extern "C" __global__ void NAME(const T *logits, int sequences, int steps, int classes,        \
                                    int blank, int *labels, int *lengths, float *scores)           \
    {                                                                                              \
        ctc_greedy_decode<T>(logits, sequences, steps, classes, blank, labels, lengths, scores);   \
    }

ENTRY(ctc_greedy_decode_f32, float)
ENTRY(ctc_greedy_decode_f16, half_bits)
