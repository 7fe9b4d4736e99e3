"""The registry of DRAM standards; a new one is a module here and a line in ``STANDARDS``."""

from .ddr4 import DDR4
from .gddr6 import GDDR6
from .gddr6_pim import GDDR6_PIM

STANDARDS = {s.name: s for s in (DDR4, GDDR6, GDDR6_PIM)}
