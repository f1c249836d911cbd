"""The one stylesheet of the catalog's pages: no fonts, no pictures, nothing from elsewhere."""

STYLE = """
:root { --ink: #1d2327; --quiet: #4a545c; --line: #d5dade; --link: #0b4f8a; --ground: #fff;
        --soft: #f4f6f7; --warn: #6b4300; --warn-ground: #fff4dc; --bad: #8c1313;
        --bad-ground: #fdecec; --good: #17592b; --good-ground: #e8f5ec; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 1rem/1.55 system-ui, sans-serif; color: var(--ink);
       background: var(--ground); overflow-wrap: anywhere; }
header, main, footer { max-width: 64rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: .9rem; padding-bottom: .6rem; }
header a.home { font-weight: 650; text-decoration: none; color: var(--ink); }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; padding: 0;
         margin: .3rem 0 0; }
nav a { display: inline-block; padding: .25rem 0; }
nav.steps { margin: 1rem 0; }
main { padding-top: .4rem; padding-bottom: 2rem; border-top: 1px solid var(--line); }
footer { border-top: 1px solid var(--line); padding-top: .8rem; padding-bottom: 2rem;
         color: var(--quiet); font-size: .9rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; padding-top: .3rem; }
h3 { font-size: 1.02rem; margin: 1.4rem 0 .4rem; }
p, ul, ol, dl { margin: .5rem 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, input:focus-visible, button:focus-visible, .scroll:focus-visible,
summary:focus-visible { outline: 3px solid #e8a200; outline-offset: 2px; }
a.skip { position: absolute; left: -99rem; }
a.skip:focus { position: static; }
.quiet { color: var(--quiet); }
.kind { color: var(--quiet); font-size: .95rem; margin: 1rem 0 -.8rem; }
.lead { font-size: 1.05rem; max-width: 46rem; }
.notice { border-left: .3rem solid; padding: .5rem .8rem; margin: 1rem 0; max-width: 46rem; }
.notice p { margin: .2rem 0; }
.warn { background: var(--warn-ground); border-color: var(--warn); color: var(--warn); }
.bad { background: var(--bad-ground); border-color: var(--bad); color: var(--bad); }
.good { background: var(--good-ground); border-color: var(--good); color: var(--good); }
.notice a { color: inherit; }
.mark { display: inline-block; padding: 0 .45rem; border-radius: .25rem; font-size: .85rem;
        white-space: nowrap; }
.plain { background: var(--soft); color: var(--quiet); }
dl { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .3rem 1rem; }
dt { color: var(--quiet); } dd { margin: 0; min-width: 0; }
code, pre { font: .9em/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .7rem .8rem; white-space: pre-wrap; margin: .5rem 0; }
.id { user-select: all; background: var(--soft); padding: .1rem .35rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1.2rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--quiet); padding: .2rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .7rem .4rem 0; text-align: left;
         vertical-align: top; min-width: 6rem; }
thead th { color: var(--quiet); font-weight: 550; font-size: .92rem; }
tbody th { font-weight: 500; }
form.search { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: 1rem 0; }
form.search label { flex: 1 1 14rem; }
label { display: block; color: var(--quiet); }
input, button { font: inherit; padding: .5rem .6rem; border: 1px solid #717d86;
                border-radius: .25rem; min-height: 2.75rem; }
input { width: 100%; color: var(--ink); background: #fff; display: block; }
button { background: var(--link); border-color: var(--link); color: #fff; cursor: pointer; }
ul.list { list-style: none; padding: 0; }
ul.list > li { border-bottom: 1px solid var(--line); padding: .6rem 0; }
ul.list p { margin: .15rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem;
         list-style: none; padding: 0; }
.cards a { display: block; padding: .7rem .8rem; background: var(--soft); border-radius: .3rem;
           text-decoration: none; }
.cards strong { display: block; font-size: 1.3rem; }
h2 code, h3 code { font-size: 1em; }
dd ul { margin: 0; padding-left: 1.1rem; }
@media (max-width: 34rem) {
  thead { position: absolute; left: -99rem; }
  tr { display: block; border-bottom: 1px solid var(--line); padding: .45rem 0; }
  th, td { display: block; border: 0; padding: .1rem 0; }
  td:empty { display: none; }
  td[data-title]::before { content: attr(data-title) ": "; color: var(--quiet); }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
  h1 { font-size: 1.35rem; }
}
@media print { nav, form, footer { display: none; } }
"""
