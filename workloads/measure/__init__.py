"""The same kernels on a real GPU, or on this CPU, timed: ``rowline measure``.

On a bare machine it is ``PYTHONPATH=.types python -m rowline.workloads.measure``.

What is measured is plain data (:mod:`.kernel`, :mod:`.transformer`, :mod:`.micro`); how it becomes torch calls, how those are
timed and how the log is kept are modules of their own. Needs torch, numpy, pyarrow and the standard library.
"""
