"""How it behaves over time: compiling, mapping, kernels, the slow reference, host processes, energy, results."""
