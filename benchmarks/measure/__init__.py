"""Sections of `benchmarks/speed.py`, one file per question. Each has `measure()`, which returns figures."""
