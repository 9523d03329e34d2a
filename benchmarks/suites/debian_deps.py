"""The board that ships: the section of a Debian package, from its words and dependencies.

Protocol and expectations: ``datasets/debian-deps/README.md``. Three seeds on the one split.
"""

from __future__ import annotations

from graphkit.bench import preset

MODELS = ("label-propagation", "mlp", "gcn", "dagnn", "graphsage", "dir-sage")

SUITE = tuple(preset(model, "debian-deps/source", seeds=range(3)) for model in MODELS)
