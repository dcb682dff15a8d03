"""The nouns and the mathematics: no file, no process, no library of networks, and no word of a plugin."""
