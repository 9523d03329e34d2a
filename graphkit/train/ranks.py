"""What several processes agree on. Alone, everything is as it stands."""

from __future__ import annotations

import torch
import torch.distributed as dist

__all__ = ["agreed", "any_rank", "newest_of_all", "rank", "ranks"]


def ranks() -> int:
    """Returns the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this process, from 0."""
    return dist.get_rank() if ranks() > 1 else 0


def agreed(scores: dict[str, float]) -> dict[str, float]:
    """Returns rank 0's scores on every rank: statistics of batch norm differ between them."""
    if ranks() == 1:
        return scores
    values = torch.tensor(list(scores.values()), dtype=torch.float64)
    dist.broadcast(values, src=0)
    return dict(zip(scores, values.tolist(), strict=True))


def any_rank(flag: bool) -> bool:
    """Returns whether it is so on any rank: all take the same turn."""
    if ranks() == 1:
        return flag
    found = torch.tensor(flag, dtype=torch.int32)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def newest_of_all(places: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Returns the greatest of the places that every rank has; ``None`` if there is none."""
    gathered: list[list[tuple[int, int]] | None] = [places]
    if ranks() > 1:
        gathered = [None] * ranks()
        dist.all_gather_object(gathered, places)
    shared = set.intersection(*(set(each or ()) for each in gathered))
    return max(shared, default=None)
