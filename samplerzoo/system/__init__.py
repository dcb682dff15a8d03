"""The machine: files that are whole or not there, processes, memory, versions and hardware."""
