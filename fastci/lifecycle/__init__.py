"""The CI side: a node carried as a container or as a process, and the seven steps around it."""
