"""The style of the result's page: light and dark, on a screen and on paper."""

STYLE = """
:root { --paper: #fff; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --shade: #f4f6f8; --link: #0b5cad;
  --good: #176b3a; --good-shade: #e7f5ec; --bad: #a3271b; --bad-shade: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e4e9f0; --soft: #9aa6b5; --line: #2c343f;
  --shade: #1b212a; --link: #7cb7f5; --good: #7fd6a0; --good-shade: #12291c; --bad: #ff9d92; --bad-shade: #331512; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
header { border: 1px solid var(--line); border-left: 6px solid var(--soft); border-radius: 6px; padding: 1rem 1.25rem; }
header.good { border-left-color: var(--good); background: var(--good-shade); }
header.bad { border-left-color: var(--bad); background: var(--bad-shade); }
.status { margin: 0; font-weight: 700; font-size: 1.1rem; }
.good .status { color: var(--good); } .bad .status { color: var(--bad); }
h1 { margin: .1rem 0 .4rem; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .6rem; font-size: 1.2rem; }
.message { margin: 0 0 .8rem; overflow-wrap: anywhere; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2rem; margin: 0; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; }
a { color: var(--link); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 5rem; }
code, pre { font: .86rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
td code { color: var(--soft); } section td:nth-child(-n+2) code { color: inherit; }
pre { background: var(--shade); border: 1px solid var(--line); border-radius: 4px; padding: .7rem; overflow-x: auto; }
.failure { border-left: 6px solid var(--bad); padding-left: 1rem; margin-top: 1.5rem; }
.failure h2 { margin-top: 0; color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 4px; padding: .5rem; background: #fff; }
figure.plot { background: none; } svg { display: block; width: 100%; height: auto; }
img { display: block; max-width: 100%; max-height: 34rem; margin: 0 auto; }
figcaption { color: #5b6675; font-size: .85rem; text-align: center; margin-top: .3rem; overflow-wrap: anywhere; }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --shade: #fff; --link: #000; }
  main { max-width: none; padding: 0; } pre { white-space: pre-wrap; } figure, tr, header { break-inside: avoid; } }
"""
