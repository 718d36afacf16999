"""Sums and extremes of windows against plain Python."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from autohedge.kernels.windows import (
    Data,
    window_distances,
    window_highest,
    window_lowest,
    window_squares,
    window_sums,
    window_weighted_sums,
)

VALUES, MEANS, OUT = range(3)
ROWS = 300  # more than one block of places

OfWindow = Callable[[Sequence[float], float], float]
PLAIN: dict[Any, OfWindow] = {
    window_sums: lambda x, mean: math.fsum(x),
    window_weighted_sums: lambda x, mean: math.fsum((k + 1) * each for k, each in enumerate(x)),
    window_highest: lambda x, mean: max(x),
    window_lowest: lambda x, mean: min(x),
}
OF_MEANS: dict[Any, OfWindow] = {
    window_squares: lambda x, mean: math.fsum((each - mean) ** 2 for each in x),
    window_distances: lambda x, mean: math.fsum(abs(each - mean) for each in x),
}
EVERY = PLAIN | OF_MEANS


def _data(n: int, price: float = 100.0) -> Data:
    """Returns prices, the means of their windows, and a series for the results."""
    rng = np.random.Generator(np.random.PCG64(n))
    data = np.full((3, ROWS), -1.0)
    data[VALUES] = price * (1.0 + rng.normal(0.0, 1e-3, ROWS))
    for i in range(n - 1, ROWS):
        data[MEANS, i] = math.fsum(data[VALUES, i + 1 - n : i + 1]) / n
    return data


def _fold(kernel: Any, data: Data, n: int, start: int, stop: int) -> list[float]:
    """Returns the results between two places; those beside them must stay as they are."""
    data[OUT] = -1.0
    kernel(data, VALUES, *([MEANS] if kernel in OF_MEANS else []), n, start, stop, OUT)
    assert (data[OUT, :start] == -1.0).all() and (data[OUT, stop:] == -1.0).all()
    found: list[float] = data[OUT, start:stop].tolist()
    return found


def _plain(kernel: Any, data: Data, n: int) -> list[float]:
    values, means = data[VALUES].tolist(), data[MEANS].tolist()
    of_window = EVERY[kernel]
    return [
        of_window(values[i + 1 - n : i + 1], means[i]) if i >= n - 1 else math.nan for i in range(len(values))
    ]


@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.__name__)
def test_windows_of_all_lengths_equal_plain_python(kernel: Any) -> None:
    for n in range(1, 41):
        data = _data(n)
        assert_allclose(_fold(kernel, data, n, 0, ROWS), _plain(kernel, data, n), rtol=1e-12)


@pytest.mark.parametrize("price", [1e-8, 1e5])
@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.__name__)
def test_windows_of_small_and_large_prices_equal_plain_python(kernel: Any, price: float) -> None:
    data = _data(13, price)
    assert_allclose(_fold(kernel, data, 13, 0, ROWS), _plain(kernel, data, 13), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 3, 4, 7, 40])
@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.__name__)
def test_number_of_places_changes_no_bit(kernel: Any, n: int) -> None:
    data = _data(n)
    whole = np.array(_fold(kernel, data, n, 0, ROWS))
    for start in (0, n - 1, 41, 290):
        for count in (0, 1, 7, 8, 9, 10, 255, 256, 257):
            stop = min(start + count, ROWS)
            found = np.array(_fold(kernel, data, n, start, stop))
            assert found.tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("count", [4, ROWS - 100])
@pytest.mark.parametrize("n", [1, 4, 6, 11])
@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.__name__)
def test_window_that_holds_nan_is_nan_and_no_other(kernel: Any, n: int, count: int) -> None:
    data = _data(n)
    data[VALUES, 102] = math.nan
    found = _fold(kernel, data, n, 100, 100 + count)
    missing = [place for place, value in enumerate(found) if math.isnan(value)]
    assert missing == list(range(2, min(2 + n, count)))


@pytest.mark.parametrize("kernel", EVERY, ids=lambda kernel: kernel.__name__)
def test_series_shorter_than_the_window_has_no_values(kernel: Any) -> None:
    data = _data(20)
    assert np.isnan(_fold(kernel, data, ROWS + 1, 0, ROWS)).all()
    assert np.isnan(_fold(kernel, data, ROWS + 1, 290, ROWS)).all()
