"""The report page's style sheet."""

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2330; --soft: #5b6675; --line: #dde2e8;
  --accent: #0b63b5; --good: #1b7f4b; --bad: #b3261e; --caution: #fff4d6; --caution-line: #d99a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1a2029; --ink: #e4e9f0; --soft: #98a5b5; --line: #2d3744;
    --accent: #6db3f8; --good: #5fcf95; --bad: #ff8a80; --caution: #33290f;
    --caution-line: #d99a00;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
header, main { max-width: 72rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 0 0 0.75rem; }
header p { margin: 0.35rem 0 0.9rem; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: 0.35rem 1.1rem; font-size: 0.9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.25rem 1.4rem; margin: 1.1rem 0;
}
section > :last-child { margin-bottom: 0; }
p { margin: 0 0 0.9rem; max-width: 48rem; overflow-wrap: anywhere; }
.caution {
  background: var(--caution); border-left: 4px solid var(--caution-line);
  border-radius: 4px; padding: 0.6rem 0.9rem; max-width: none;
}
pre {
  background: var(--page); border: 1px solid var(--line); border-radius: 6px;
  padding: 0.6rem 0.8rem; margin: 0 0 0.9rem; overflow-x: auto; font-size: 0.85rem;
}
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.7rem;
  margin: 0 0 1rem;
}
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.8rem; }
.tile span, .tile small { display: block; color: var(--soft); font-size: 0.8rem; }
.tile strong { display: block; font-size: 1.4rem; line-height: 1.35; font-weight: 650; }
.tile.good strong { color: var(--good); }
.tile.bad strong { color: var(--bad); }
figure { margin: 0 0 1.1rem; }
figcaption { color: var(--soft); font-size: 0.87rem; margin-top: 0.4rem; max-width: 52rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
.drawing svg { display: block; width: 100%; height: auto; max-width: 58rem; color: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.9rem 0.35rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line); }
tbody tr + tr td { border-top: 1px solid var(--line); }
.number { text-align: right; padding-left: 0.9rem; white-space: nowrap; }
@media print { body { background: none; } section { break-inside: avoid; } nav { display: none; } }
"""
