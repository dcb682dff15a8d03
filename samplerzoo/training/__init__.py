"""Training on Accelerate: one loop, and the two tasks that it trains (U-Net and classifier)."""
