"""The registry of DRAM standards; a new one is a module here and a line in ``STANDARDS``."""

from .ddr4 import DDR4
from .ddr5 import DDR5
from .gddr6 import GDDR6
from .gddr6_pim import GDDR6_PIM
from .hbm2 import HBM2, HBM2E
from .hbm3 import HBM3
from .hbm3_pim import HBM3_PIM
from .hbm_pim import HBM_PIM
from .lpddr5 import LPDDR5

STANDARDS = {s.name: s for s in (DDR4, DDR5, LPDDR5, GDDR6, GDDR6_PIM, HBM2, HBM2E, HBM3, HBM_PIM, HBM3_PIM)}
