"""One image: decoding, DICOM, normalization and augmented views."""
