"""A benchmark folder as a page: series, tables, findings, plots, pictures."""
