"""Metrics of generated images: features, their moments, and distances to those of real images."""
