"""Samplers, guidances and feature networks that come with samplerzoo. Entry points name them, as any others."""
