"""The style sheet of the HTML page. Colours are variables, given twice: for light and for dark readers."""

STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #fbfbfa; --panel: #ffffff; --ink: #1c1e21; --muted: #667079; --line: #e2e5e8; --track: #eef0f2;
  --good: #1a7f4b; --bad: #c0362c; --warn: #9a6700;
  --cube: #2f6fd0; --vector: #d9822b; --mixed: #2a9d8f; --other: #8a929a;
  --lag: #2f6fd0; --prompt: #7fb0ee; --simulated: #2a9d8f; --path: #b4458f;
  --w0: #c9d1d9; --w1: #e6c07b; --w2: #d59a9a; --w3: #a9b8d6; --w4: #b9d3b0; --w5: #c8b6d9; --w6: #dfe3e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --panel: #1b1f23; --ink: #e6e9ec; --muted: #98a2ab; --line: #2d3339; --track: #252b30;
    --good: #4cc38a; --bad: #ff7b72; --warn: #e3b341;
    --cube: #6ea8fe; --vector: #f0a458; --mixed: #4fc3b3; --other: #7d8790;
    --lag: #6ea8fe; --prompt: #35639f; --simulated: #4fc3b3; --path: #e083bf;
    --w0: #4a5560; --w1: #8a6d2f; --w2: #7f4a4a; --w3: #4b5b80; --w4: #4d6b46; --w5: #67527c; --w6: #30363c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 22px; margin: 0 0 14px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 34px 0 10px; }
h3 { font-size: 14px; margin: 20px 0 6px; color: var(--muted); font-weight: 600; }
section > h3:first-child { margin-top: 0; }
details { margin-top: 14px; }
summary { font-size: 14px; font-weight: 600; color: var(--muted); cursor: pointer; margin-bottom: 6px; }
p, pre { margin: 6px 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; }
section, .banner { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
section { overflow-x: auto; }
.banner { border-left: 6px solid var(--good); }
.banner.bad { border-left-color: var(--bad); }
.banner strong { color: var(--good); margin-right: 8px; }
.banner.bad strong { color: var(--bad); }
.notice { color: var(--warn); font-weight: 600; }
.facts { display: flex; flex-wrap: wrap; gap: 8px 26px; margin: 12px 0 0; padding: 0; list-style: none; }
.facts span { display: block; font-size: 12px; color: var(--muted); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: var(--muted); border-bottom: 1px solid var(--line); }
th, td { padding: 4px 10px 4px 0; vertical-align: top; }
tbody tr + tr td { border-top: 1px solid var(--line); }
.w code { white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: 12.5px ui-monospace, monospace; overflow-wrap: anywhere; }
.error { color: var(--bad); font-weight: 600; }
.warning { color: var(--warn); font-weight: 600; }
.info { color: var(--muted); }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 12.5px; color: var(--muted); margin: 0 0 8px; }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .m { fill: var(--muted); } svg .grid { stroke: var(--line); stroke-width: 1; }
footer { margin-top: 30px; color: var(--muted); font-size: 12.5px; }
"""
