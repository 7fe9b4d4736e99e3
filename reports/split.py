"""Which shape families stay unseen: a fixed fifth, drawn by a hash, that no constant and no form of a model was chosen on."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

UNSEEN_BELOW = 51  # of 256: 19.9 %


def unseen(family: str) -> bool:
    """Whether a shape family belongs to the unseen fifth: the first byte of its SHA-256 (as UTF-8) is below 51."""
    return hashlib.sha256(family.encode()).digest()[0] < UNSEEN_BELOW


def unseen_rows(families: Any) -> np.ndarray:
    """``unseen`` of every row, as bool (n,); ``families``: n strings. Each distinct family is hashed once."""
    codes, distinct = pd.factorize(np.asarray(families, dtype=object))
    answers = np.array([unseen(str(name)) for name in distinct], dtype=bool)
    return answers[codes] if len(codes) else np.zeros(0, dtype=bool)
