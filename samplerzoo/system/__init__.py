"""Operating system and hardware: atomic files, locks, processes, memory, devices and versions."""
