"""DICOM files made for tests."""

import io

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from featx.images.reading import read_image

RAMP = np.arange(0, 4096, 273, dtype=np.uint16).reshape(4, 4)


def make_dicom(pixels, *, syntax=ExplicitVRLittleEndian, preamble=True, **elements):
    """Encode integers of any depth and sign, with further elements by keyword."""
    pixels = np.asarray(pixels)
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["featx"])
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.BitsStored = dataset.BitsAllocated
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if "HighBit" not in elements:
        dataset.HighBit = dataset.BitsStored - 1
    if "PixelData" not in elements:
        content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    buffer = io.BytesIO()
    if preamble:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(buffer, enforce_file_format=True)
    else:
        dataset.save_as(buffer, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return buffer.getvalue()


def lookup_table(entries, first, bits):
    """An item of a modality or VOI table sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.add_new("LUTData", "US", list(entries))
    return item


def expect(content, values, **tolerance):
    """Compare decoded pixels with expected values."""
    np.testing.assert_allclose(read_image(content), values, **({"atol": 1e-3} | tolerance))
