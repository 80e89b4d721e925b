"""Images of folders, archives and URLs, with classes and splits by folder name."""
