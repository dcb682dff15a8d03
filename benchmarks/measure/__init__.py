"""What `benchmarks/speed.py` measures, a file a question; each has `measure()`, which returns figures."""
