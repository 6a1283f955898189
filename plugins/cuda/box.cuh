// Resizing one side of an image with the weights of OpenCV, as in plugins/resizing.py: each result
// is the mean of an interval. By area, the interval is all that the result covers; otherwise it is
// one pixel long, which is linear interpolation.
#pragma once

#ifndef __CUDACC__
using std::max;
using std::min;
#endif

// An interval of a side. Positions are whole numbers of ``1 / unit`` pixels, so weights are exact
// and no interval reaches beyond the side.
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

// Returns the interval of result ``at`` when ``from`` pixels become ``to``. 2 * from * to must be
// below 2^31.
__device__ inline Box box_of(int at, int from, int to, bool area)
{
    if (area) {
        return {at * from, (at + 1) * from, to};
    }
    const int begin = min(max((2 * at + 1) * from - to, 0), 2 * to * (from - 1));
    return {begin, begin + 2 * to, 2 * to};
}
