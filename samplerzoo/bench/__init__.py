"""The benchmark: a suite is made into cells, cells into images, images into rows, rows into a report."""
