"""Collections of images: folders, tables, archives, patients, splits, public and synthetic sets.

`dataset.ImageDataset.open` and `conversion.as_images` take what users give. `locations` finds out
what a path is; `folders`, `tables.rows` and `medmnist` list its images as a `listing.Listing`, to
which `dataset` applies the `rules` for labels and `patients`. What was found and passed over is an
`inventory.Inventory`.
"""
