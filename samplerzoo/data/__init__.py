"""Reading images, for training and for metrics."""
