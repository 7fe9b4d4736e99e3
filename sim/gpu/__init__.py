"""A GPU over time: kernels as grids of CTAs, the measuring loop, what a run of kernels takes."""
