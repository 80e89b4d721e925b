"""Collections of images: folders, tables, archives, patients, splits, public and synthetic sets."""
