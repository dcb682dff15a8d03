"""Nouns and mathematics, without files, processes, libraries of networks, or the name of any plugin."""
