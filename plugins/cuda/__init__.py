"""CUDA C++ to PTX without a GPU, and kernels run on the CPU to see that they are right."""
