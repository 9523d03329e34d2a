"""Eigenvectors of the normalised Laplacian: dense for small graphs, Lanczos for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.utils import remove_self_loops, to_undirected

from graphkit.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["DENSE_NODES", "DropTrivial", "laplacian_vectors"]

Array: TypeAlias = npt.NDArray[np.float64]
DropTrivial = Literal["first", "all"]

DENSE_NODES = 1000  # 8 MB and half a second; four times as many nodes take 64 times as long
RESTARTS = 300  # of Lanczos, some twenty products each, before the matrix is factorised instead
TOLERANCE = 1e-10  # of an eigenvalue; the vectors end as float32
BELOW = -1e-6  # the shift of the factorised matrix: no eigenvalue is negative


def laplacian_vectors(edge_index: Tensor, nodes: int, k: int, drop: DropTrivial) -> Tensor:
    r"""Returns the ``k`` eigenvectors of the smallest non-trivial eigenvalues.

    Of :math:`I - D^{-1/2} A D^{-1/2}`; direction, duplicates and self-loops do not count. An
    isolated node has eigenvalue 1, every other component one eigenvalue 0.

    Args:
        edge_index: ``(2, edges)``.
        nodes: Number of nodes.
        k: Number of vectors.
        drop: Of the eigenvalues 0, drop the first alone or all.

    Shape:
        ``(nodes, at most k)``, float64, unit columns, the largest entry of each positive.

    Raises:
        DataError: A large graph's vectors do not converge.
    """
    edges = to_undirected(remove_self_loops(edge_index.cpu())[0], num_nodes=nodes)
    vectors = (
        _dense(edges, nodes, k, drop) if nodes <= DENSE_NODES else _sparse(edges, nodes, k, drop)
    )
    if vectors.numel():
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
    return vectors


def _dense(edges: Tensor, nodes: int, k: int, drop: DropTrivial) -> Tensor:
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    dense[edges[0], edges[1]] = 1.0
    root = dense.sum(dim=1).clamp(min=1).rsqrt()
    laplacian = torch.eye(nodes, dtype=torch.float64) - root[:, None] * dense * root
    skip = 1
    if drop == "all":
        skip = _num_linked_components(edges, nodes)
    return torch.linalg.eigh(laplacian).eigenvectors[:, skip : skip + k]


def _num_linked_components(edges: Tensor, nodes: int) -> int:
    """Components with an edge: as many as there are eigenvalues 0."""
    label = _components(_adjacency(edges, nodes))
    return len(np.unique(label[edges[0].numpy()]))


def _adjacency(edges: Tensor, nodes: int) -> sp.csr_matrix:
    import scipy.sparse as sp  # loaded where it is used

    ones = np.ones(edges.shape[1])
    return sp.csr_matrix((ones, (edges[0].numpy(), edges[1].numpy())), shape=(nodes, nodes))


def _components(adjacency: Any) -> npt.NDArray[np.int32]:
    from scipy.sparse.csgraph import connected_components

    label: npt.NDArray[np.int32] = connected_components(adjacency, directed=False)[1]
    return label


def _sparse(edges: Tensor, nodes: int, k: int, drop: DropTrivial) -> Tensor:
    """Component by component, so that equal eigenvalues of two components are not missed."""
    import scipy.sparse as sp

    adjacency = _adjacency(edges, nodes)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    root = 1 / np.sqrt(np.maximum(degree, 1))
    walk = (sp.diags(root) @ adjacency @ sp.diags(root)).tocsr()
    label = _components(adjacency)
    size = np.bincount(label)
    order = np.argsort(label, kind="stable")
    members = np.split(order, size.cumsum()[:-1])
    members = sorted(members, key=len, reverse=True)  # stable: equal ones by their first node
    linked = [rows for rows in members if len(rows) > 1]
    columns: list[Array] = []
    if drop == "first":
        columns = _contrasts(linked, np.sqrt(degree), k)
    found: list[tuple[float, Array, npt.NDArray[np.intp]]] = []
    wanted = k - len(columns)
    for rows in linked if wanted else ():
        values, vectors = _of_component(walk[rows][:, rows], wanted)
        found += [
            (float(value), vector, rows) for value, vector in zip(values, vectors.T, strict=True)
        ]
    alone = [(1.0, np.ones(1), rows) for rows in members[len(linked) :][:wanted]]
    for _, vector, rows in sorted(found + alone, key=lambda one: one[0])[:wanted]:
        columns.append(np.zeros(nodes))
        columns[-1][rows] = vector
    return torch.from_numpy(np.stack(columns, axis=1) if columns else np.zeros((nodes, 0)))


def _contrasts(linked: list[Any], root: Array, k: int) -> list[Array]:
    """Eigenvectors of 0 besides the root of the degrees: the largest component against another.

    They are the columns of a reflection that takes the first component's indicator to the trivial
    vector, so they are orthonormal.
    """
    trivial = np.array([np.linalg.norm(root[rows]) for rows in linked])
    if len(linked) < 2:
        return []
    mirror = trivial / np.linalg.norm(trivial)
    mirror[0] -= 1.0
    mirror /= np.linalg.norm(mirror)
    columns = []
    for number in range(1, min(k, len(linked) - 1) + 1):
        weight = -2 * mirror * mirror[number]
        weight[number] += 1.0
        column = np.zeros(len(root))
        for rows, share, norm in zip(linked, weight, trivial, strict=True):
            column[rows] = share * root[rows] / norm
        columns.append(column)
    return columns


def _of_component(walk: Any, k: int) -> tuple[Array, Array]:
    """Eigenvalues and vectors of a connected graph besides the trivial one, smallest first.

    Raises:
        DataError: They do not converge.
    """
    nodes = walk.shape[0]
    if nodes <= max(DENSE_NODES, 2 * k + 2):
        values, vectors = np.linalg.eigh(np.eye(nodes) - walk.toarray())
        return values[1 : k + 1], vectors[:, 1 : k + 1]
    import scipy.sparse as sp
    from scipy.sparse.linalg import ArpackError, eigsh

    draw = torch.Generator().manual_seed(0)
    start = torch.rand(nodes, generator=draw, dtype=torch.float64).numpy()
    size = max(2 * k + 2, 40)
    try:
        values, vectors = eigsh(
            walk, k + 1, which="LA", v0=start, ncv=size, maxiter=RESTARTS, tol=TOLERANCE
        )
        values = 1 - values
    except ArpackError:  # eigenvalues crowd at 0, as in a grid, where a factor is sparse
        laplacian = (sp.identity(nodes) - walk).tocsc()
        try:
            values, vectors = eigsh(laplacian, k + 1, sigma=BELOW, v0=start, ncv=size)
        except (ArpackError, MemoryError, RuntimeError) as error:
            raise DataError(
                f"the {k} Laplacian eigenvectors of a component of {nodes} nodes do not converge "
                f"({error}); ask for fewer, or use RandomWalkPE"
            ) from error
    order = np.argsort(values, kind="stable")[1:]
    return values[order], vectors[:, order]
