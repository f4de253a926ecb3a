"""How ``compare.html`` looks: in light and dark, on a wide screen and on a narrow one."""

STYLE = """
:root { --page:#ffffff; --ink:#1b1f24; --soft:#57606a; --line:#d0d7de; --band:#f6f8fa; --good:#116329; --good-band:#dafbe1; --bad:#a40e26;
  --bad-band:#ffebe9; --unknown:#6639ba; --unknown-band:#fbefff; --l1:#0969da; --rollup:#1a7f37; --sequencer:#bf3989; --client:#6e7781; }
@media (prefers-color-scheme: dark) { :root { --page:#0d1117; --ink:#e6edf3; --soft:#9198a1; --line:#3d444d; --band:#151b23; --good:#56d364;
  --good-band:#12261e; --bad:#ff7b72; --bad-band:#3c1618; --unknown:#d2a8ff; --unknown-band:#271a45; --l1:#58a6ff; --rollup:#3fb950;
  --sequencer:#f778ba; --client:#9198a1; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--page); color:var(--ink); font:16px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; }
main { max-width:72rem; margin:0 auto; padding:1.5rem 1rem 3rem; }
h1 { margin:0; font-size:1.8rem; line-height:1.2; } h2 { font-size:1.15rem; margin:2.2rem 0 .6rem; }
.where { margin:.2rem 0 1.2rem; color:var(--soft); }
.verdict { margin:.6rem 0; padding:.7rem 1rem; border-left:4px solid; border-radius:4px; }
.good { color:var(--good); background:var(--good-band); } .bad { color:var(--bad); background:var(--bad-band); }
.unknown { color:var(--unknown); background:var(--unknown-band); }
.legend { list-style:none; display:flex; flex-wrap:wrap; gap:.3rem 1.4rem; padding:0; margin:.8rem 0; color:var(--soft); font-size:.9rem; }
.legend i { display:inline-block; width:.9rem; height:.9rem; margin-right:.45rem; border-radius:2px; vertical-align:-.1rem; }
i.l1 { background:var(--l1); } i.rollup { background:var(--rollup); } i.sequencer { background:var(--sequencer); } i.client { background:var(--client); }
figure { margin:1.4rem 0; } figcaption { margin-bottom:.4rem; }
.row { display:grid; grid-template-columns:17rem 1fr 5rem; gap:.7rem; align-items:center; }
.row + .row { border-top:1px solid transparent; }
.what { font-size:.9rem; overflow-wrap:anywhere; } .what small { color:var(--soft); } .what b { font-weight:600; }
.took { text-align:right; font-variant-numeric:tabular-nums; font-size:.9rem; white-space:nowrap; }
.row svg { display:block; width:100%; height:1.5rem; overflow:visible; background:var(--band); }
.tick { stroke:var(--line); stroke-width:1; vector-effect:non-scaling-stroke; }
rect { stroke-width:1; vector-effect:non-scaling-stroke; }
rect.l1 { fill:var(--l1); stroke:var(--l1); } rect.rollup { fill:var(--rollup); stroke:var(--rollup); }
rect.sequencer { fill:var(--sequencer); stroke:var(--sequencer); } rect.client { fill:var(--client); stroke:var(--client); }
.marks { position:relative; height:1.4rem; font-size:.78rem; color:var(--soft); }
.marks span { position:absolute; transform:translateX(-50%); white-space:nowrap; } .marks span:first-child { transform:none; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; font-size:.9rem; font-variant-numeric:tabular-nums; min-width:100%; }
th, td { padding:.35rem .7rem; border-bottom:1px solid var(--line); text-align:right; vertical-align:top; }
th:first-child, td:first-child { text-align:left; padding-left:0; } thead th { color:var(--soft); font-weight:600; vertical-align:bottom; }
tbody th { font-weight:400; } th.words, td.words { text-align:left; } td { overflow-wrap:anywhere; min-width:4.5rem; }
footer { overflow-wrap:anywhere; margin-top:2.5rem; padding-top:1rem; border-top:1px solid var(--line); color:var(--soft); font-size:.85rem; }
code { font-family:ui-monospace,"DejaVu Sans Mono",monospace; font-size:.95em; overflow-wrap:anywhere; }
@media (max-width: 640px) {
  .row { grid-template-columns:1fr auto; gap:0 .7rem; padding:.2rem 0; } .row svg, .row .marks { grid-column:1 / -1; grid-row:2; }
  .row.axis .what, .row.axis .took { display:none; } .row.axis .marks { grid-row:1; }
  .row svg { height:1.1rem; } .marks span:nth-child(even) { display:none; }
  h1 { font-size:1.5rem; } th, td { padding:.35rem .5rem; }
}
"""
"""One style sheet, in the page itself."""
