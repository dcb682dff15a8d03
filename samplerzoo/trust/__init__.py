"""Untrusted files and names: limits on their size, how they are read, and how they are shown."""
