"""What repeats from trial to trial is made once in a worker and found again by its content; results do not depend on it.

Traced graphs are kept on disk too (``$ROWLINE_CACHE``, else ``~/.cache/rowline``), under what they are made from: a worker that
finds its graph there need not import torch.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rowline.sweeps.fingerprint import digest, source_digest
from rowline.workloads.models.gpt import GptConfig

if TYPE_CHECKING:
    from rowline.traces.opgraph import OpGraph

T = TypeVar("T")


class Memo:
    """The latest ``size`` things made, by key. Size 0 keeps nothing."""

    def __init__(self, size: int):
        self.size, self.hits, self.made = size, 0, 0
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """What ``make`` returned when it was last called for an equal key, or returns now. Treat it as immutable."""
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key]
        made = make()
        self.made += 1
        self._kept[key] = made
        while len(self._kept) > self.size:
            self._kept.popitem(last=False)
        return made


def cache_folder() -> Path:
    """Where traced graphs are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("ROWLINE_CACHE") or Path(home) / "rowline") / "graphs"


def traced(kind: str, model: GptConfig, trace: Callable[[], "OpGraph"]) -> "OpGraph":
    """The graph that ``trace`` makes for a model, from the disk where it is there; a damaged file is made anew."""
    from rowline.traces.opgraph import OpGraph

    made_from = [kind, model.model_dump(mode="json"), source_digest(("workloads", "traces")), version("torch")]
    file = cache_folder() / f"{digest(made_from)}.parquet"
    with suppress(OSError, ValueError):
        return OpGraph.from_parquet(file)
    graph = trace()
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            graph.to_parquet(partial)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    return graph
