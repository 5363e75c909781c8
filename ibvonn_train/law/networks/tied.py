"""Linear maps between features of classes that commute with the permutations of the classes.

A linear map y_a = Σ_b W_ab x_b commutes with a group of permutations where W_ab depends only on the
orbit of the pair (a, b): all equivariant linear maps are of this form. Weights of one orbit are
shared, and the map is evaluated as the dense matrix that they fill.

References:
    Ravanbakhsh, Schneider & Póczos (2017), *Equivariance through parameter-sharing*,
    arXiv 1702.08389, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pair_orbits(classes: int, permutations: Sequence[Sequence[int]]) -> Tensor:
    """Return the number of the orbit of each pair of classes, shape ``(classes, classes)``.

    Args:
        classes: Their number.
        permutations: Generators of the group, each listing where every class goes; empty for the
            identity alone, under which every pair is an orbit of its own.
    """
    orbits = torch.full((classes, classes), -1, dtype=torch.long)
    count = 0
    for a in range(classes):
        for b in range(classes):
            if orbits[a, b] >= 0:
                continue
            waiting = [(a, b)]
            while waiting:
                pair = waiting.pop()
                if orbits[pair] >= 0:
                    continue
                orbits[pair] = count
                waiting += [(g[pair[0]], g[pair[1]]) for g in permutations]
            count += 1
    return orbits


def dense(shared: Tensor, orbits: Tensor) -> Tensor:
    """Return the matrix, ``(classes · n_out, classes · n_in)``, of shared blocks.

    Args:
        shared: One block for each orbit of pairs, shape ``(n_orbit, n_out, n_in)``.
        orbits: From :func:`pair_orbits`.
    """
    blocks = shared[orbits]
    classes, n_out, n_in = len(orbits), *shared.shape[1:]
    return blocks.permute(0, 2, 1, 3).reshape(classes * n_out, classes * n_in)


def repeated(shared: Tensor, orbits: Tensor) -> Tensor:
    """Return a vector ``(classes · n,)`` of one entry ``(n_orbit, n)`` for each orbit of classes.

    Classes that a permutation maps on each other share their entry: that of the orbit of the pair
    (a, a).
    """
    vector: Tensor = shared[class_orbits(orbits)].reshape(-1)
    return vector


def class_orbits(orbits: Tensor) -> Tensor:
    """Return the number of the orbit of each class, shape ``(classes,)``."""
    number: Tensor = torch.unique(torch.diagonal(orbits), return_inverse=True)[1]
    return number


def shared_blocks(matrix: Tensor, orbits: Tensor, rows: int, columns: int) -> Tensor:
    """Return the blocks of the orbits of pairs in a matrix, averaged over each orbit.

    The inverse of :func:`dense` for a matrix that commutes with the permutations.

    Args:
        matrix: Shape ``(classes · rows, classes · columns)``.
        orbits: From :func:`pair_orbits`.
        rows: Of a block.
        columns: Of a block.
    """
    classes = len(orbits)
    blocks = matrix.reshape(classes, rows, classes, columns).transpose(1, 2)
    count = int(orbits.max()) + 1
    return torch.stack([blocks[orbits == number].mean(0) for number in range(count)])


def averaged(of_class: Tensor, orbits: Tensor) -> Tensor:
    """Return values of classes, ``(classes, n)``, averaged over the classes of each orbit."""
    member = torch.nn.functional.one_hot(class_orbits(orbits)).to(of_class)
    mean: Tensor = member @ (member.T @ of_class / member.sum(0).unsqueeze(-1))
    return mean
