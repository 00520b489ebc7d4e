"""The report: refilled tables, figures and the one HTML page.

`numbers` decides how a measured number is printed, `svg` prepares vector graphics for the page,
`tables` refills the chapter's tables, `figures` draws, `build` renders `report/index.html`.
"""
