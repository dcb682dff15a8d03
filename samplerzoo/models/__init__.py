"""Model folders: what is in them, and how a network is loaded."""
