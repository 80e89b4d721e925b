"""Images: reading them, the views of them, and who they belong to."""
