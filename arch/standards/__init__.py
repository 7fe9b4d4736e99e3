"""The registry of DRAM standards; a new one is a module here and a line in ``STANDARDS``."""

from .gddr6 import GDDR6
from .gddr6_pim import GDDR6_PIM

STANDARDS = {s.name: s for s in (GDDR6, GDDR6_PIM)}
