"""The report, one HTML page.

`build` renders the templates in `report/`; the other modules prepare the plain values that these
print: `cards` (with `maps`, `plots` and `conditions`), `exhibits` (figures and tables, with `svg`
and `answers`), `findings`, `agreement` and `provenance`. The page reads files alone and knows no
experiment by name.
"""
