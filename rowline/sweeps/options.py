"""What may be asked of a sweep, whether on the command line or from a notebook."""

from math import isfinite

from rowline.arch.yamltree import ConfigError, printable
from rowline.sweeps.schema import MAX_TRIALS
from rowline.sweeps.store import is_url

LIMITS = {"trials": (1, MAX_TRIALS), "jobs": (1, 1024), "timeout": (1e-3, 1e7), "seed": (0, 2**32 - 1)}


def check_options(storage: str | None = None, **values: float | None) -> None:
    """Refuse options that make no sense; ``values``: those of LIMITS that were given.

    Raises:
        ConfigError: each that is wrong, by its name on the command line.
    """
    bad = [
        f"--{name} {printable(str(value), 100)}: must be a number from {LIMITS[name][0]} to {LIMITS[name][1]}"
        for name, value in values.items()
        if value is not None
        and not (isinstance(value, (int, float)) and isfinite(value) and LIMITS[name][0] <= value <= LIMITS[name][1])
    ]
    if storage is not None and "://" in storage and not is_url(storage):
        bad.append(f"--storage {printable(storage, 500)}: expected a folder or postgresql://user@host/database#study")
    if bad:
        raise ConfigError(bad)
