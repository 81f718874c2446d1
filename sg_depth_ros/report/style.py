"""The report page's style sheet."""

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5b6675; --line: #dde2e8;
  --accent: #0b63b5; --good: #1b7f4b; --bad: #b3261e; --caution: #fff4d6; --caution-line: #d99a00;
  --shade: rgba(20, 30, 45, 0.16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1a2029; --ink: #e4e9f0; --soft: #98a5b5; --line: #2d3744;
    --accent: #6db3f8; --good: #5fcf95; --bad: #ff8a80; --caution: #33290f;
    --caution-line: #d99a00; --shade: rgba(0, 0, 0, 0.5);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header, main { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 0 0 0.9rem; letter-spacing: -0.005em; }
h3 { font-size: 1.02rem; margin: 1.7rem 0 0.5rem; }
h4 { font-size: 0.87rem; font-weight: 600; color: var(--soft); margin: 0 0 0.25rem; }
h2 + h3, summary + h3, h2 + .panels h3 { margin-top: 0; }
h1, h3, h4, summary { overflow-wrap: anywhere; }
header p { margin: 0.35rem 0 0.9rem; color: var(--soft); overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 0.35rem 1.1rem; font-size: 0.9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.25rem 1.4rem; margin: 1.1rem 0;
}
section > :last-child, details > :last-child { margin-bottom: 0; }
p { margin: 0 0 0.9rem; max-width: 50rem; overflow-wrap: anywhere; }
.caution {
  background: var(--caution); border-left: 4px solid var(--caution-line);
  border-radius: 4px; padding: 0.6rem 0.9rem; max-width: none;
}
pre {
  background: var(--page); border: 1px solid var(--line); border-radius: 6px; font-size: 0.85rem;
  padding: 0.6rem 0.8rem; margin: 0 0 0.9rem; white-space: pre-wrap; overflow-wrap: anywhere;
}
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.7rem;
  margin: 0 0 1rem;
}
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.8rem; }
.tile span, .tile small {
  display: block; color: var(--soft); font-size: 0.8rem; line-height: 1.4; overflow-wrap: anywhere;
}
.tile strong { display: block; font-size: 1.4rem; line-height: 1.35; font-weight: 650; }
.tile.good strong { color: var(--good); }
.tile.bad strong { color: var(--bad); }
figure { margin: 0 0 1.1rem; }
figcaption { color: var(--soft); font-size: 0.87rem; margin-top: 0.4rem; max-width: 56rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
.drawing svg { display: block; width: 100%; height: auto; color: var(--ink); }
.drawing svg.narrow { display: none; }
details { border-top: 1px solid var(--line); padding: 0.55rem 0; }
details[open] { padding-bottom: 1.1rem; }
summary { cursor: pointer; font-weight: 600; }
details > summary + * { margin-top: 0.8rem; }
.scroll {
  overflow-x: auto;
  background:
    linear-gradient(90deg, var(--card) 40%, transparent) 0 0 / 2rem 100% local no-repeat,
    linear-gradient(270deg, var(--card) 40%, transparent) 100% 0 / 2rem 100% local no-repeat,
    linear-gradient(90deg, var(--shade), transparent) 0 0 / 0.7rem 100% no-repeat,
    linear-gradient(270deg, var(--shade), transparent) 100% 0 / 0.7rem 100% no-repeat;
}
table {
  border-collapse: separate; border-spacing: 0; font-size: 0.92rem;
  font-variant-numeric: tabular-nums;
}
th, td { padding: 0.35rem 0.9rem 0.35rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; }
tbody tr + tr td { border-top: 1px solid var(--line); }
td:first-child { min-width: 6.5rem; }
.number { text-align: right; padding-left: 0.9rem; white-space: nowrap; }
th.number { white-space: normal; }
.number + :not(.number) { padding-left: 0.9rem; }
.panels { border-top: 1px solid var(--line); padding-top: 1rem; margin: 0 0 1.4rem; }
.panels h3 { margin: 0 0 0.5rem; }
.panels > p { color: var(--soft); font-size: 0.92rem; margin: -0.4rem 0 0.7rem; }
h2 + .panels { border-top: 0; padding-top: 0; }
.grid {
  display: grid; gap: 0.9rem 1.1rem;
  grid-template-columns: repeat(var(--columns), minmax(0, 1fr));
}
.grid figure { margin: 0; }
.grid img { width: 100%; }
.grid .tall { grid-column: -2; grid-row: 1 / span var(--rows); }
.bar { position: relative; height: 1.75rem; margin-top: 0.3rem; font-size: 0.75rem; }
.bar div { height: 0.5rem; border-radius: 2px; }
.bar span { position: absolute; top: 0.55rem; color: var(--soft); white-space: nowrap; }
.swatches {
  display: flex; flex-wrap: wrap; gap: 0.1rem 0.8rem; margin-top: 0.3rem;
  font-size: 0.78rem; color: var(--soft);
}
.swatches i {
  display: inline-block; width: 0.75em; height: 0.75em; margin-right: 0.35em; border-radius: 2px;
}
.bar div, .swatches i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
@media (max-width: 44rem) {
  header, main { padding: 0 0.5rem; }
  header { padding: 1.2rem 0.7rem 0; }
  h1 { font-size: 1.4rem; }
  section { padding: 0.9rem 0.75rem; margin: 0.7rem 0; border-radius: 8px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
  .tile strong { font-size: 1.2rem; }
  .grid { grid-template-columns: minmax(0, 1fr); }
  .grid .tall { grid-column: auto; grid-row: auto; }
  .drawing svg.wide { display: none; }
  .drawing svg.narrow { display: block; max-width: 30rem; }
  .drawing:has(svg.any) { overflow-x: auto; }
  .drawing svg.any { min-width: 40rem; }
  table { font-size: 0.85rem; }
  td:first-child, th:first-child { position: sticky; left: 0; background: var(--card); }
  td:first-child { max-width: 9.5rem; overflow-wrap: anywhere; }
}
@media print {
  body { background: none; font-size: 11pt; }
  header, main { max-width: none; padding: 0; }
  section { border: 0; padding: 0.4rem 0; }
  nav { display: none; }
  h2, h3, h4, summary, h2 + p { break-after: avoid; }
  figure, tr, .tiles, .caution { break-inside: avoid; }
  .scroll { overflow: visible; background: none; }
  table { font-size: 0.8rem; }
  th, td { padding-right: 0.4rem; }
  .number { padding-left: 0.4rem; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""
