"""Feature matrices: extracting, caching and saving them."""
