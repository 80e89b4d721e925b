"""What depends on the machine and the process: files, memory, parallelism, progress."""
