"""Files and names of any origin: how much of them is taken, how they are read, and how they are shown."""
