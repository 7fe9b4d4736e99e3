"""The slow oracle and the independent legality checker. Shares no code with kernels."""
