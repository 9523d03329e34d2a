"""Models of event streams."""

from graphkit.models.streams.edge_bank import EdgeBank

__all__ = ["EdgeBank"]
