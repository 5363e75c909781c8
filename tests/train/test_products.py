"""Products of matrices and of numbers, whatever the axes before them."""

import pytest
import torch

from ibvonn_train.law.networks.products import product


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("left", [(), (1,), (3,), (5, 3), (5, 1, 3)])
@pytest.mark.parametrize("right", [(1,), (3,), (1, 1), (5, 1, 2), (5, 1, 1)])
def test_it_is_the_matrix_product(
    inner: int, left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(inner)
    one = torch.randn(*left, inner, dtype=torch.float64, generator=generator)
    other = torch.randn(*right[:-1], inner, right[-1], dtype=torch.float64, generator=generator)
    torch.testing.assert_close(product(one, other), torch.matmul(one, other))
