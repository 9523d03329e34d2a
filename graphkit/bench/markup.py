"""HTML built from elements: every text is escaped unless an element made it."""

from __future__ import annotations

import html
from collections.abc import Mapping

from graphkit.bench.wording import plain

__all__ = ["Markup", "block", "element", "join"]

_EMPTY_ELEMENTS = frozenset({"meta", "br", "hr", "col"})


class Markup(str):
    """Text that is HTML already; only this module and the drawings make it."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, str] | None = None, *content: str) -> Markup:
    """Returns one element; texts among the content and all attribute values are escaped.

    Args:
        name: Tag.
        attributes: Values by name.
        content: Texts, or elements made before.
    """
    given = "".join(
        f' {key}="{html.escape(plain(value))}"' for key, value in (attributes or {}).items()
    )
    if name in _EMPTY_ELEMENTS:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: str) -> Markup:
    """Puts texts and elements one after the other."""
    return Markup(
        "".join(part if isinstance(part, Markup) else html.escape(plain(part)) for part in content)
    )


def block(text: str) -> Markup:
    """A text of several lines, as in a traceback, whose line breaks and indents are kept."""
    lines = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        lines.append(" " * indent + html.escape(plain(line)))
    return element("pre", {}, Markup("\n".join(lines)))
