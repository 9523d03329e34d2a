"""Style and script of the report: one page that asks for nothing from outside."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

# Eight hues after Okabe and Ito, told apart with any colour vision; darker on white, lighter on
# black. Markers differ too, so that no colour has to be seen at all.
STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --page: #f6f7f9; --ink: #1b1f24; --muted: #5c6670; --line: #dfe3e8;
  --faint: #c9cfd6; --accent: #0b62a8; --warn: #a63a00; --warn-back: #fdf0e7;
  --better: #dcebf7; --better-ink: #0a4a80; --worse: #fbe6d6; --worse-ink: #8a3300;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #00805c; --series-3: #a33e8c;
  --series-4: #9a7200; --series-5: #2797d4; --series-6: #7a4a2b; --series-7: #5b6470;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #181b1f; --page: #101214; --ink: #e6e9ec; --muted: #9aa4ae; --line: #2c3137;
    --faint: #454c54; --accent: #7cbcf0; --warn: #ffab7a; --warn-back: #33231a;
    --better: #173148; --better-ink: #a9d4f7; --worse: #43271a; --worse-ink: #ffc09a;
    --series-0: #58aee8; --series-1: #ff8f4f; --series-2: #3fcf9f; --series-3: #e58ac9;
    --series-4: #e0b83f; --series-5: #9bd7ff; --series-6: #cfa488; --series-7: #aab3bc;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 3.4rem; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main, .top, nav { max-width: 1320px; margin: 0 auto; padding: 0 20px; }
.top { padding-top: 28px; padding-bottom: 6px; }
h1 { font-size: 1.75rem; margin: 0 0 .2rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 0; }
h3 { font-size: .95rem; margin: 1.3rem 0 .5rem; }
h2 small, h3 small {
  font-weight: 400; color: var(--muted); font-size: .9rem; margin-left: .5rem;
}
p { margin: .4rem 0; max-width: 76rem; }
.muted, figcaption, caption { color: var(--muted); font-size: .85rem; }
a { color: var(--accent); }
.bar {
  position: sticky; top: 0; z-index: 5; background: var(--page);
  border-bottom: 1px solid var(--line);
}
nav {
  display: flex; gap: 4px 16px; padding-top: 9px; padding-bottom: 9px; overflow-x: auto;
  white-space: nowrap;
}
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
section {
  background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 18px 0;
}
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px 24px;
  margin: 14px 0 0;
}
.facts div { min-width: 0; }
.facts dt { color: var(--muted); font-size: .8rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.facts .big { font-size: 1.3rem; font-weight: 600; line-height: 1.3; }
.scroll { overflow-x: auto; margin: 10px -6px 0; padding: 0 6px; }
table {
  border-collapse: collapse; font-size: 13px; line-height: 1.4;
  font-variant-numeric: tabular-nums;
}
.scores { width: 100%; }
th, td {
  padding: 6px; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
thead th {
  border-bottom: 1.5px solid var(--faint); color: var(--muted); font-weight: 600;
  vertical-align: bottom; white-space: nowrap;
}
.scores tbody tr:last-child > *, .failed tbody tr:last-child > * { border-bottom: 0; }
.scores tbody tr:hover > * { background: color-mix(in srgb, var(--accent) 7%, transparent); }
.n { text-align: right; white-space: nowrap; }
.model { font-weight: 600; overflow-wrap: anywhere; min-width: 8rem; max-width: 15rem; }
.model.first::after { content: " ★"; color: var(--accent); }
.source {
  display: block; color: var(--muted); font-size: 11.5px; line-height: 1.3;
  white-space: normal; min-width: 7.5rem; max-width: 13rem; margin-left: auto;
}
.extra { display: block; color: var(--muted); font-size: 11.5px; font-weight: 400; }
.below { color: var(--warn); font-weight: 600; }
.bad { color: var(--warn); }
th button { all: unset; cursor: pointer; }
th button:focus-visible, summary:focus-visible, a:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px;
}
th button { position: relative; }
th button:hover { color: var(--ink); }
th button::after { position: absolute; left: 100%; padding-left: 1px; font-size: 11px; }
th button:hover::after { content: "↕"; opacity: .6; }
th[aria-sort="ascending"] button::after { content: "↑"; opacity: 1; }
th[aria-sort="descending"] button::after { content: "↓"; opacity: 1; }
.swatch { width: 11px; height: 11px; margin-right: 7px; vertical-align: -1px; overflow: visible; }
.strip { display: block; width: 94px; height: 18px; }
.plots {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(390px, 100%), 1fr));
  gap: 10px 26px; margin-top: 16px;
}
figure { margin: 0; min-width: 0; }
figure svg { width: 100%; height: auto; display: block; }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text {

  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif !important;
  font-variant-numeric: tabular-nums;
}
figcaption { margin-top: 4px; }
.ranks svg { max-width: 860px; }
.pairs { margin-top: 8px; }
.pairs th, .pairs td {
  border: 1px solid var(--line); text-align: center; padding: 4px 8px; white-space: nowrap;
  vertical-align: middle;
}
.pairs th[scope="row"] { text-align: left; font-weight: 600; }
.pairs thead th {
  white-space: normal; overflow-wrap: anywhere; max-width: 8rem; color: var(--ink);
}
.pairs small { display: block; color: inherit; opacity: .8; font-size: 11px; }
.pairs .better { background: var(--better); color: var(--better-ink); }
.pairs .worse { background: var(--worse); color: var(--worse-ink); }
.pairs .open { color: var(--muted); }
.pairs .self { background: var(--page); }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
details details { margin: 6px 0 6px 16px; }
td details { margin-top: 2px; }
td summary { font-size: 12px; }
.settings td, .settings th { padding: 2px 10px 2px 0; border: 0; font-size: 12.5px; }
.settings th { font-weight: 400; color: var(--muted); white-space: nowrap; }
.settings td {
  overflow-wrap: anywhere; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
ul.remarks { margin: 8px 0 0; padding-left: 1.2rem; color: var(--warn); font-size: .85rem; }
.failed td { overflow-wrap: anywhere; }
#left-out ul { font-size: .9rem; margin: 8px 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.failed td:nth-child(-n+3) { white-space: nowrap; }
pre {
  background: var(--page); border: 1px solid var(--line); border-radius: 6px;
  padding: 10px 12px; overflow-x: auto; font-size: 12.5px; margin: 6px 0;
}
footer { color: var(--muted); font-size: .85rem; padding: 4px 0 40px; }
@media print {
  .bar { position: static; } section { break-inside: avoid; border: 0; padding: 0; };
}
"""

# Sorts a table by one of its columns; rows without a number stay at the end.
SCRIPT = """
for (const table of document.querySelectorAll("table.scores")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.v;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = head.dataset.kind === "text" ? x.localeCompare(y) : x - y;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
"""
