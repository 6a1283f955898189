// BoxCandidates, in launches that share their parameters. README.md explains why each is correct.
//
// Each map has H W + 1 nodes: node 0 is the map's surroundings, node 1 + p is pixel p in raster
// order. A node's label is a node of the same region that is not larger; the label of a root is the
// root itself. Once regions are numbered, the labels of their roots are negative: -1 - number.
//
// A warp processes a tile: 32 pixels of a row. A run is a sequence of equal pixels (text or no
// text) within a tile.
#include "atomics.cuh"
#include "elements.cuh"
#include "union_find.cuh"

constexpr int LANES = 32;
constexpr int WARPS = 4;
constexpr unsigned ALL = 0xffffffffu;
constexpr int OUTSIDE = 0;
constexpr float UNIT = 16777216.0f;  // the scale of probabilities in sums, 2**24: floats from 0.5 on are exact

// The parameters of all launches.
template <typename T> struct Maps {
    const T *probability;
    const float *threshold;
    int maps, height, width, max_components, max_rows;
    int *count, *areas;
    float *means;
    int *rows, *extents, *labels, *found;
    unsigned long long *sums;
    int *starts;

    // Blocks per map: each has WARPS tiles.
    __device__ int blocks() const
    {
        return (height * ((width + LANES - 1) / LANES) + WARPS - 1) / WARPS;
    }
};

// The parameters of one map, and the pixel of this thread, if it has one.
template <typename T> struct Here : Maps<T> {
    int block, lane, x, y, node;
    float above;
    bool exists;

    __device__ Here(const Maps<T> &all, int map, int block) : Maps<T>(all), block(block)
    {
        const int tiles = (this->width + LANES - 1) / LANES;
        const int tile = block * WARPS + threadIdx.x / LANES;
        lane = threadIdx.x % LANES;
        x = tile % tiles * LANES + lane;
        y = tile / tiles;
        exists = x < this->width && y < this->height;
        node = exists ? 1 + y * this->width + x : OUTSIDE;
        above = *this->threshold;
        const long long pixels = static_cast<long long>(this->height) * this->width;
        const long long region = static_cast<long long>(map) * this->max_components;
        this->probability += map * pixels;
        this->labels += map * (pixels + 1);
        this->found += static_cast<long long>(map) * this->blocks();
        this->count += map;
        this->areas += region;
        this->means += region;
        this->sums += region;
        this->starts += region;
        this->rows += 2 * region;
        this->extents += 2LL * map * this->max_rows;
    }

    __device__ bool is_text(int pixel) const { return to_float(this->probability[pixel]) > above; }

    // Whether there is a neighbor in that direction, and both are text or both are not.
    __device__ bool is_alike(int right, int down) const
    {
        const int column = x + right, row = y + down;
        return column >= 0 && column < this->width && row >= 0 &&
               is_text(row * this->width + column) == is_text(node - 1);
    }

    // Returns the lanes that begin runs, as bits. All lanes must call it.
    __device__ unsigned begins() const
    {
        const unsigned text = __ballot_sync(ALL, exists && is_text(node - 1));
        return (text ^ text << 1) | 1u;
    }

    // Returns the length of the run that begins here; 0 if none does. All lanes must call it.
    __device__ int run() const
    {
        const unsigned begin = begins();
        const unsigned after = lane + 1 < LANES ? begin >> (lane + 1) : 0;
        return !exists || !(begin >> lane & 1) ? 0 : after ? __ffs(after) : LANES - lane;
    }

    // Returns the number of this pixel's region; max_components if it has none.
    __device__ int region() const
    {
        int label = this->labels[node];
        while (label >= 0) {
            label = this->labels[label];
        }
        return -1 - label;
    }
};

// Returns the sum of the values of the threads before this one, and the sum of all in ``total``.
// All threads of the block must call it.
__device__ inline int sum_before(int value, int &total)
{
    __shared__ int of_warps[WARPS];
    const int warp = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    // Inclusive sums within the warp: log2(32) shuffles.
    int sum = value;
    for (int apart = 1; apart < LANES; apart *= 2) {
        const int other = __shfl_up_sync(ALL, sum, apart);
        sum += lane >= apart ? other : 0;
    }
    __syncthreads();  // an earlier call may still read of_warps
    if (lane == LANES - 1) {
        of_warps[warp] = sum;
    }
    __syncthreads();
    int before = sum - value;
    total = 0;
    for (int i = 0; i < WARPS; ++i) {
        before += i < warp ? of_warps[i] : 0;
        total += of_warps[i];
    }
    return before;
}

// Labels each pixel with the first pixel of its run.
template <typename T> __device__ void label(const Here<T> &here)
{
    // The last run that begins at this lane or before it.
    const unsigned until_here = here.begins() & ALL >> (LANES - 1 - here.lane);
    if (here.exists) {
        here.labels[here.node] = here.node - (here.lane - (LANES - 1 - __clz(until_here)));
    }
    if (here.node == 1) {
        here.labels[OUTSIDE] = OUTSIDE;
    }
}

// Merges pixels that touch: text at sides and corners, background at sides, and background at the
// map's edge with the outside. A merge is skipped if a neighbor to the left or right makes it.
template <typename T> __device__ void join(const Here<T> &here)
{
    if (!here.exists) {
        return;
    }
    const bool is_text = here.is_text(here.node - 1);
    const bool west = here.is_alike(-1, 0), north_west = here.is_alike(-1, -1);
    const int above = here.node - here.width;
    if (west && here.lane == 0) {  // within a tile, ``label`` has joined the run
        merge(here.labels, here.node, here.node - 1);
    }
    if (here.is_alike(0, -1)) {
        if (!(west && north_west)) {
            merge(here.labels, here.node, above);
        }
    } else if (is_text) {
        if (north_west && !west) {
            merge(here.labels, here.node, above - 1);
        }
        if (here.is_alike(1, -1) && !here.is_alike(1, 0)) {
            merge(here.labels, here.node, above + 1);
        }
    }
    if (!is_text && (here.x == 0 || here.x == here.width - 1 || here.y == 0 ||
                     here.y == here.height - 1)) {
        merge(here.labels, here.node, OUTSIDE);
    }
}

// Merges each region that lies inside another one with it, and counts the outermost regions.
template <typename T> __device__ void fill(const Here<T> &here)
{
    bool is_outermost = false;
    if (here.exists && load_relaxed(here.labels + here.node) == here.node) {
        // The pixel to the left of a region's first pixel belongs to the surrounding region.
        const int around = here.x > 0 ? find(here.labels, here.node - 1) : OUTSIDE;
        is_outermost = around == OUTSIDE;
        if (!is_outermost) {
            store_relaxed(here.labels + here.node, around);
        }
    }
    int total;
    sum_before(is_outermost, total);
    if (threadIdx.x == 0) {
        here.found[here.block] = total;
    }
}

// Numbers the regions in the order of their first pixels, and initializes their results.
template <typename T> __device__ void number(const Here<T> &here)
{
    const int none = here.max_components;
    const bool is_root = here.exists && here.labels[here.node] == here.node;
    int in_earlier = 0, earlier, own;
    for (int block = threadIdx.x; block < here.block; block += blockDim.x) {
        in_earlier += here.found[block];
    }
    sum_before(in_earlier, earlier);
    const int rank = earlier + sum_before(is_root, own);
    if (is_root) {
        here.labels[here.node] = -1 - (rank < none ? rank : none);
    }
    if (is_root && rank < none) {
        here.areas[rank] = 0;
        here.sums[rank] = 0;
        here.rows[2 * rank] = here.rows[2 * rank + 1] = here.y;
    }
    if (here.node == 1) {
        here.labels[OUTSIDE] = -1 - none;
    }
    if (threadIdx.x == 0 && here.block == here.blocks() - 1) {
        *here.count = earlier + own;
    }
}

// Adds up areas and probabilities, and finds last rows: one atomic operation per run.
template <typename T> __device__ void measure(const Here<T> &here)
{
    const int length = here.run(), region = length > 0 ? here.region() : here.max_components;
    if (region >= here.max_components) {
        return;
    }
    unsigned long long sum = 0;
    for (int pixel = here.node - 1; pixel < here.node - 1 + length; ++pixel) {
        const float value = to_float(here.probability[pixel]);
        const float inside = value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f;  // 0 for NaN
        sum += static_cast<unsigned>(rintf(inside * UNIT));
    }
    atomicAdd(here.areas + region, length);
    atomicAdd(here.sums + region, sum);
    atomicMax(here.rows + 2 * region + 1, here.y);
}

// Assigns rows of ``extents`` to each region, one region after the other, and computes means. One
// block per map.
template <typename T> __device__ void place(const Here<T> &here)
{
    const int most = here.max_components, count = *here.count < most ? *here.count : most;
    int used = 0;
    for (int first = 0; first < most; first += blockDim.x) {
        const int i = first + threadIdx.x;
        int *const span = here.rows + 2LL * i;
        const int height = i < count ? span[1] - span[0] + 1 : 0;
        int total;
        const int start = used + sum_before(height, total);
        const bool fits = i < count && start + height <= here.max_rows;
        used += total;
        if (fits) {
            const double sum = static_cast<double>(here.sums[i]) / UNIT;
            here.means[i] = static_cast<float>(sum / here.areas[i]);
        } else if (i < most) {
            here.means[i] = 0.0f;
            here.areas[i] = span[0] = 0;
            span[1] = -1;
        }
        if (i < most) {
            here.starts[i] = fits ? start : -1;
        }
    }
    for (int row = threadIdx.x; row < here.max_rows; row += blockDim.x) {
        here.extents[2 * row] = here.width;
        here.extents[2 * row + 1] = -1;
    }
}

// Finds the first and last column of each row of each region: two atomic operations per run.
template <typename T> __device__ void extend(const Here<T> &here)
{
    const int length = here.run(), region = length > 0 ? here.region() : here.max_components;
    if (region >= here.max_components || here.starts[region] < 0) {
        return;
    }
    const int row = here.starts[region] + here.y - here.rows[2 * region];
    atomicMin(here.extents + 2LL * row, here.x);
    atomicMax(here.extents + 2LL * row + 1, here.x + length - 1);
}

#define ENTRY(NAME, T, BODY)                                                                       \
    extern "C" __global__ void NAME(                                                               \
        const T *probability, const float *threshold, int maps, int height, int width,             \
        int max_components, int max_rows, int *count, int *areas, float *means, int *rows,         \
        int *extents, int *labels, int *found, unsigned long long *sums, int *starts)              \
    {                                                                                              \
        const Maps<T> all{probability, threshold, maps,   height, width,                           \
                          max_components, max_rows, count, areas, means, rows, extents,            \
                          labels, found, sums, starts};                                            \
        BODY                                                                                       \
    }

// A block belongs to one map, so either all of its threads return early or none.
#define EACH_PIXEL(NAME, T, STEP)                                                                  \
    ENTRY(NAME, T, const int map = blockIdx.x / all.blocks(); if (map < maps) {                    \
        STEP(Here<T>(all, map, blockIdx.x % all.blocks()));                                        \
    })

#define STEPS(KIND, T)                                                                             \
    EACH_PIXEL(box_candidates_label_##KIND, T, label)                                              \
    EACH_PIXEL(box_candidates_join_##KIND, T, join)                                                \
    EACH_PIXEL(box_candidates_fill_##KIND, T, fill)                                                \
    EACH_PIXEL(box_candidates_number_##KIND, T, number)                                            \
    EACH_PIXEL(box_candidates_measure_##KIND, T, measure)                                          \
    ENTRY(box_candidates_place_##KIND, T, if (static_cast<int>(blockIdx.x) < maps) {               \
        place(Here<T>(all, blockIdx.x, 0));                                                          \
    })                                                                                             \
    EACH_PIXEL(box_candidates_extend_##KIND, T, extend)

STEPS(f32, float)
STEPS(f16, half_bits)
