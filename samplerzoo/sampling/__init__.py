"""Sampling: a recipe becomes a plan, the driver carries it out, and a run writes a folder."""
