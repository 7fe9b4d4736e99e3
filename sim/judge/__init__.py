"""The legality checker as a compiled body: the parts of :mod:`rowline.sim.reference`, millions of commands a second."""

from .foreign import LogJudge
from .judge import Judge
from .tables import compile_judge

__all__ = ["Judge", "LogJudge", "compile_judge"]
