// Sets of nodes that many threads merge at a time: each node has a label, a node of its set that is
// not above it; that of a root is the root itself. box_candidates/README.md says why this is right.
#pragma once

#include "atomics.cuh"

// The root above a node; halves the way for those who come after.
__device__ inline int find(int *labels, int node)
{
    int parent = load_relaxed(labels + node);
    while (parent != node) {
        const int above = load_relaxed(labels + parent);
        if (above != parent) {
            atomicMin(labels + node, above);
        }
        node = parent;
        parent = above;
    }
    return node;
}

__device__ inline void merge(int *labels, int a, int b)
{
    a = find(labels, a);
    b = find(labels, b);
    while (a != b) {
        const int high = a > b ? a : b, low = a > b ? b : a;
        const int before = atomicMin(labels + high, low);
        a = before == high ? low : before;  // no root any more: its region is still to be merged
        b = low;
    }
}
