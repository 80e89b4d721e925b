"""DICOM files, decoded in worker processes."""
