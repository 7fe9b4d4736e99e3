"""Every statistic against its closed form, and against pandas."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from rowline.reports.split import unseen, unseen_rows
from rowline.reports.validation_stats import mape, score, spearman


def test_score_of_known_ratios() -> None:
    measured = np.array([10.0, 20.0, 40.0, 80.0, 100.0])
    ratio = np.array([1.1, 0.8, 1.0, 1.3, 0.6])  # errors 10, 20, 0, 30, 40 %
    got = score(measured, measured * ratio)
    assert got["n"] == 5
    assert got["mape"] == pytest.approx(20.0)
    assert got["median_ape"] == pytest.approx(20.0)
    assert got["p90_ape"] == pytest.approx(36.0)  # linear between 30 and 40
    assert got["bias"] == pytest.approx(0.0)  # the median ratio is 1


def test_mean_and_median_differ_where_they_must() -> None:
    got = score([1.0, 1.0, 1.0], [1.0, 1.5, 4.0])
    assert (got["mape"], got["median_ape"], got["bias"]) == (pytest.approx(350 / 3, abs=1e-4), 50.0, 50.0)
    assert score([2.0], [1.0])["bias"] == -50.0


def test_errors_are_relative_to_the_measurement() -> None:
    assert mape([2.0], [1.0]) == 0.5
    assert mape([1.0], [2.0]) == 1.0


def test_without_rows_there_is_no_figure() -> None:
    got = score(np.zeros(0), np.zeros(0))
    assert got.pop("n") == 0
    assert set(got.values()) == {None}


@pytest.mark.parametrize("seed", range(20))
def test_spearman_equals_pandas_with_and_without_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 200))
    a = rng.integers(0, 5, n) if seed % 2 else rng.normal(size=n)
    b = rng.integers(0, 7, n) + a
    theirs = pd.Series(np.asarray(a, float)).rank().corr(pd.Series(np.asarray(b, float)).rank())
    assert spearman(a, b) == pytest.approx(theirs, abs=1e-12)


def test_spearman_closed_forms() -> None:
    assert spearman([1, 2, 3], [10, 100, 1000]) == 1.0
    assert spearman([1, 2, 3], [3, 2, 1]) == -1.0
    assert spearman([1, 1, 2, 2], [1, 2, 1, 2]) == 0.0
    n, d2 = 5, 2 + 2  # 1 - 6 sum d^2 / (n (n^2 - 1)): two neighbouring pairs swapped
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(1 - 6 * d2 / (n * (n * n - 1)))


def test_spearman_is_undefined_for_one_row_and_for_constants() -> None:
    assert spearman([1.0], [2.0]) is None
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert spearman([1.0, 2.0, 3.0], [7.0, 7.0, 7.0]) is None


def test_the_split_is_the_first_byte_of_the_hash() -> None:
    families = [f"gemm:n{n}:k{k}" for n in range(32, 4096, 64) for k in (1, 2, 3)]
    expected = [hashlib.sha256(f.encode()).digest()[0] < 51 for f in families]
    assert [unseen(f) for f in families] == expected
    assert unseen_rows(np.array(families * 2, dtype=object)).tolist() == expected * 2
    assert 0.1 < np.mean(expected) < 0.3
    assert unseen_rows([]).shape == (0,)
