"""Samplers in the pipelines of diffusers: each one is a scheduler, too."""
