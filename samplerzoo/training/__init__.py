"""Training on Accelerate: data, one loop, and the two tasks that it trains (U-Net, classifier)."""
