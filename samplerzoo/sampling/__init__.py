"""Sampling: a recipe becomes a plan, the driver executes it, and a run writes a folder."""
