// Resizing one side of an image, as OpenCV means it: each result is the mean of an interval, by
// area of all that the result covers, otherwise of one pixel's length, which is linear.
#pragma once

#ifndef __CUDACC__
using std::max;
using std::min;
#endif

// An interval of a side. Positions are whole numbers, in parts of a pixel: ``unit`` of them make
// one. So weights are exact, and none is of a pixel that the side does not have.
struct Box {
    int begin, end, unit;

    __device__ int length() const { return end - begin; }
    __device__ int first() const { return static_cast<unsigned>(begin) / unit; }
    __device__ int last() const { return static_cast<unsigned>(end - 1) / unit; }
    __device__ int overlap(int pixel) const
    {
        return min((pixel + 1) * unit, end) - max(pixel * unit, begin);
    }
};

// What result ``at`` is made of where ``from`` pixels become ``to``; 2 * from * to is under 2^31.
__device__ inline Box box_of(int at, int from, int to, bool area)
{
    if (area) {
        return {at * from, (at + 1) * from, to};
    }
    const int begin = min(max((2 * at + 1) * from - to, 0), 2 * to * (from - 1));
    return {begin, begin + 2 * to, 2 * to};
}
