import time
from ..conformance.devices import *
from ..conformance.builder import Builder
from ..conformance.kernel import run_kernel
def test_x():
    dev=device("aim",RefreshMode.PER_BANK)
    for rounds in (1000,100_000,1_500_000):
        for part in ("stream","finish"):
            b=Builder(dev)
            b.add("ACT",safe=True,release=(rounds*dev.refresh_interval+5) if part=="stream" else 0); b.add("PREA")
            t=time.perf_counter()
            run_kernel(dev,b.stream(),b.not_before,t_end=rounds*dev.refresh_interval if part=="finish" else None,logged=False)
            print(part,rounds,time.perf_counter()-t)
