"""Report of a benchmark folder as a page: names, series, tables, findings, plots, pictures."""
