"""Architectures that come with samplerzoo: readers of what diffusers saves."""
