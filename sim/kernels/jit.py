"""The one way in which kernels are compiled.

``_nrt=False`` leaves out reference counting: kernels allocate nothing, and counting cost four fifths of the engine's time.
``error_model="numpy"`` leaves out checks for division by zero; the specification excludes it.
"""

from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = njit(cache=True, nogil=True, error_model="numpy", _nrt=False, inline="always")
