"""What is printed of a benchmark."""
