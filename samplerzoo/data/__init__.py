"""Images in, for training and for metrics."""
