"""Machine and process: atomic files, memory, parallelism, progress, POSIX facilities."""
