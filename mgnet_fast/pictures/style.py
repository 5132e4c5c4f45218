"""Colours of all pictures, and the style sheet of the report (light and dark)."""

RIGHT = "#12a150"
WRONG = "#e5382b"
INK = "#1c2430"
MUTED = "#6b7684"
FRAME = "#c9d0d8"
UNKNOWN = "#2f6fd0"

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #ffffff; --muted: #6b7684;
  --line: #c9d0d8; --bar: #2f6fd0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --paper: #14181f; --muted: #98a2b0; --line: #38414d; --bar: #6ea0ea; } }
body { margin: 2rem auto; max-width: 78rem; padding: 0 1.25rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: .95rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 span { color: var(--muted); font-weight: normal; margin-left: .75rem; }
.note { color: var(--muted); margin: .25rem 0 .75rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: normal; }
.bar { display: inline-block; height: .6rem; width: calc(7rem * var(--w)); margin-right: .5rem;
  background: var(--bar); border-radius: 2px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(34rem, 1fr)); gap: 0 2rem; }
@media (max-width: 40rem) { main { display: block; } }
section { border-top: 1px solid var(--line); padding: 1rem 0; break-inside: avoid; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; }
figure { margin: 0; flex: 1 1 5.6rem; max-width: 8rem; }
figure:first-child { flex: 0 0 9rem; }
figcaption { color: var(--muted); font-size: .8rem; margin-top: .3rem; }
img, .scene { width: 100%; display: block; box-sizing: border-box; }
img { border: 2px solid; image-rendering: pixelated; }
.scene rect { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.scene text { font-weight: bold; font-family: system-ui, sans-serif; }
"""
