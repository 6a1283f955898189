"""Compilation of CUDA C++ to PTX without a GPU, and execution of kernels on the CPU or a GPU."""
