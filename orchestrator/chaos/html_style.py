"""What the page of a scenario has beside the common style: the plot, the marks, counter-examples."""

STYLE = """
:root { --bundle:#0969da; --single:#1a7f37; --info:#8250df; --fail:#9a6700; --window:#cf222e22; --window-line:#cf222e66; }
@media (prefers-color-scheme: dark) { :root { --bundle:#58a6ff; --single:#3fb950; --info:#d2a8ff; --fail:#e3b341; --window:#ff7b7226;
  --window-line:#ff7b7280; } }
th.words, td.words { min-width:5rem; overflow-wrap:break-word; }
.mark { padding:.05rem .45rem; border-radius:3px; white-space:nowrap; font-weight:600; }
pre { margin:0; padding:.7rem 1rem; border-radius:4px; background:var(--band); font:.85rem/1.5 ui-monospace,"DejaVu Sans Mono",monospace; }
pre.bad { white-space:pre-wrap; overflow-wrap:anywhere; color:var(--bad); background:var(--bad-band); }
details { margin-top:.8rem; } summary { cursor:pointer; font-weight:600; } summary + * { margin-top:.5rem; }
.plot { margin:.6rem 0 0; padding-left:3.6rem; }
.labels { position:relative; font-size:.78rem; color:var(--bad); overflow:hidden; } .labels span { position:absolute; white-space:nowrap; line-height:16px; }
.field { position:relative; } .field svg { display:block; width:100%; height:20rem; background:var(--band); overflow:visible; }
.levels span { position:absolute; right:100%; transform:translateY(-50%); padding-right:.5rem; font-size:.78rem; color:var(--soft); white-space:nowrap;
  font-variant-numeric:tabular-nums; }
.times { position:relative; height:1.5rem; font-size:.78rem; color:var(--soft); } .times span { position:absolute; transform:translateX(-50%); white-space:nowrap; }
.times span:first-child { transform:none; }
.plot figcaption { margin:.6rem 0 .2rem; font-size:.85rem; color:var(--soft); }
svg.rate { display:block; width:100%; height:4rem; background:var(--band); }
polyline.rate { fill:none; stroke:var(--ink); stroke-width:1.3; vector-effect:non-scaling-stroke; }
.dots { fill:none; stroke-width:4.5; stroke-linecap:round; vector-effect:non-scaling-stroke; stroke-opacity:.65; }
.dots.bundle { stroke:var(--bundle); } .dots.single { stroke:var(--single); } .dots.l1 { stroke:var(--soft); }
.dots.info { stroke:var(--info); stroke-opacity:1; } .dots.fail { stroke:var(--fail); stroke-opacity:1; }
i.dot { border-radius:50%; } i.dot.bundle { background:var(--bundle); } i.dot.single { background:var(--single); } i.dot.l1 { background:var(--soft); }
i.dot.info { background:var(--info); } i.dot.fail { background:var(--fail); } i.window { background:var(--window); border:1px solid var(--window-line); }
rect.window { fill:var(--window); stroke:var(--window-line); } rect.window.missed { fill:none; stroke-dasharray:4 3; }
.phase { stroke:var(--soft); stroke-width:1; stroke-dasharray:2 3; vector-effect:non-scaling-stroke; }
@media (max-width: 640px) { .plot { padding-left:3rem; } .times span:nth-child(even) { display:none; } .field svg { height:14rem; } }
"""
"""Added to the style of comparisons."""
