"""The registry of DRAM standards; a new one is a module here and a line in ``STANDARDS``."""

from .ddr4 import DDR4
from .gddr6 import GDDR6
from .gddr6_pim import GDDR6_PIM
from .hbm2 import HBM2, HBM2E
from .hbm3 import HBM3

STANDARDS = {s.name: s for s in (DDR4, GDDR6, GDDR6_PIM, HBM2, HBM2E, HBM3)}
