"""Collections of images: folders, tables, archives, splits."""
