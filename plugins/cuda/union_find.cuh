// Disjoint sets of nodes that many threads merge at the same time. A node's label is a node of its
// set that is not larger; the label of a root is the root itself. box_candidates/README.md proves
// that this is correct.
#pragma once

#include "atomics.cuh"

// Returns the root of a node, and shortens the path for later calls.
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

// Merges the sets of two nodes. The smaller root becomes the root of both.
__device__ inline void merge(int *labels, int a, int b)
{
    a = find(labels, a);
    b = find(labels, b);
    while (a != b) {
        const int high = a > b ? a : b, low = a > b ? b : a;
        const int before = atomicMin(labels + high, low);
        a = before == high ? low : before;  // not a root any more: its new set must be merged, too
        b = low;
    }
}
