"""From stored values of a DICOM file to intensities from 0 to 255.

Runs in the worker process of `featx.images.dicom.reader`; pydicom is imported only there. pydicom
decodes, rescales, windows and converts colors. Our own are the look-up tables (see `_look_up`), a
window by percentiles where the file has none, padding, and that each stored value is transformed
once instead of each pixel.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError
from featx.images.dicom.header import (
    FIELDS,
    field_text,
    is_inverted,
    settle_header,
    unused_low_bits,
)
from featx.images.jpeg import check_jpeg_data
from featx.images.layouts import LAYOUTS, check_frames, check_layout, check_size

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

# Only these are parsed: patients' names never enter memory where pixels are read.
_ELEMENTS = [
    "TransferSyntaxUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    *FIELDS,
    "VOILUTSequence",
    *(
        name.format(color)
        for color in ("Red", "Green", "Blue")
        for name in (
            "{}PaletteColorLookupTableDescriptor",
            "{}PaletteColorLookupTableData",
            "Segmented{}PaletteColorLookupTableData",
        )
    ),
    "PixelPresentation",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
]

_INTERPRETATIONS = {layout.samples for layout in LAYOUTS if layout.container == "DICOM"} | {
    *("HSV", "ARGB", "CMYK", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "XYB")
}

# A fixed order, so that lossy files give the same pixels wherever the packages are the same.
_DECODERS = ("pillow", "pydicom", "pylibjpeg", "pyjpegls", "gdcm")

# Writers pad RLE segments to whole words.
_HARMLESS_EXTRA_BYTES = 16

_DEFLATED = b"1.2.840.10008.1.2.1.99"

# Window of a file that has none; it leaves out markers and dead pixels.
_PERCENTILES = (0.5, 99.5)


def find_patient(content: bytes) -> str | None:
    """Return the PatientID of a DICOM file, or None if it has none."""
    dataset = _parse(content, ["PatientID"])
    return str(dataset.get("PatientID") or "").strip() or None


def find_fields(content: bytes, keywords: list[str]) -> dict[str, str]:
    """Return header fields as text, ``""`` where missing; ages are in years."""
    dataset = _parse(content, keywords)
    return {keyword: field_text(dataset, keyword) for keyword in keywords}


def read_pixels(content: bytes, color: str) -> npt.NDArray:
    """Decode a DICOM file; see `featx.images.dicom.reader.read_dicom`."""
    dataset = _parse(content, _ELEMENTS)
    _check(dataset)
    settle_header(dataset)
    pixels, interpretation = _decode(dataset)
    if interpretation in ("MONOCHROME1", "MONOCHROME2"):
        if pixels.ndim != 2:
            raise UnreadableImageError("its header contradicts itself: gray of several samples")
        gray = _to_intensities(pixels, dataset)
        return gray if color == "gray" else np.repeat(gray[..., np.newaxis], 3, axis=2)
    return _from_color(pixels, interpretation, dataset, color)


def _parse(content: bytes, elements: list[str]) -> Dataset:
    from pydicom import dcmread

    # Inflating is unbounded, and images are not stored this way.
    if _DEFLATED in content:
        raise UnreadableImageError(
            "DICOM's Deflated Explicit VR Little Endian is not read; save it uncompressed"
        )
    return dcmread(io.BytesIO(content), force=True, specific_tags=list(elements))


def _check(dataset: Dataset) -> None:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        bits = 32 if "FloatPixelData" in dataset else 64
        check_layout("DICOM", "gray", bits, "floating-point")
    if "PixelData" not in dataset:
        raise UnreadableImageError("a DICOM file without an image, or cut short before it")
    kind = str(dataset.get("PhotometricInterpretation") or "").strip()
    # An unknown one may hold anything, such as a name.
    check_layout(
        "DICOM",
        kind if kind in _INTERPRETATIONS else "pixels of an unknown photometric interpretation",
        int(dataset.BitsStored),
        "integer",
    )
    height, width = int(dataset.Rows), int(dataset.Columns)
    if height == 0 or width == 0:
        raise UnreadableImageError("it has no pixels")
    check_size(width, height)
    check_frames(int(dataset.get("NumberOfFrames") or 1))


def _decode(dataset: Dataset) -> tuple[npt.NDArray, str]:
    """Return stored pixels (gray, RGB or palette indices) and their photometric interpretation."""
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID, JPEGExtended12Bit, JPEGTransferSyntaxes, RLELossless

    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or _syntax_of(dataset))
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableImageError(
            f"its pixels are stored as {_name(syntax)}, which featx does not read"
        ) from None
    dataset.file_meta.TransferSyntaxUID = syntax
    if not decoder.is_available:
        raise UnreadableImageError(
            f"its pixels are stored as {_name(syntax)}, for which a decoder is missing: "
            'pip install "featx[dicom]"'
        )
    plugins = [name for name in _DECODERS if name in decoder.available_plugins] or [""]
    if syntax == JPEGExtended12Bit and dataset.BitsStored > 8 and "pylibjpeg" not in plugins:
        raise UnreadableImageError(
            "its pixels are stored as lossy JPEG of 12 bits, for which the only decoder is under "
            "the GPL: pip install pylibjpeg pylibjpeg-libjpeg"
        )
    if syntax in JPEGTransferSyntaxes:
        check_jpeg_data(get_frame(dataset.PixelData, 0, number_of_frames=1))
    # A compressed frame has its own depth, whatever the header says.
    own_depth = syntax.is_encapsulated and syntax != RLELossless
    shift = 0 if own_depth else unused_low_bits(dataset)
    options = {"correct_unused_bits": False} if shift else {}
    for plugin in plugins:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                pixels, facts = decoder.as_array(
                    dataset,
                    decoding_plugin=plugin,
                    **options,  # type: ignore[arg-type]
                )
            break
        except Exception:
            if plugin == plugins[-1]:
                raise
    _check_warnings([str(warning.message) for warning in caught])
    if shift:
        unused = int(dataset.BitsAllocated) - int(dataset.BitsStored)
        # Upwards first, so that the sign is that of the stored bits.
        pixels = (pixels << (unused - shift)) >> unused
    return pixels, str(facts["photometric_interpretation"])


def _check_warnings(messages: list[str]) -> None:
    """Refuse RLE data that decode to more than the frame, of which pydicom only warns."""
    for message in messages:
        found = re.search(r"non-conformant padding - (\d+) vs. (\d+) bytes", message)
        if found and int(found[1]) - int(found[2]) > _HARMLESS_EXTRA_BYTES:
            raise UnreadableImageError("damaged or cut short (more RLE data than pixels)")


def _syntax_of(dataset: Dataset) -> str:
    """Return the transfer syntax that pydicom found, for a header without one."""
    from pydicom import uid

    implicit, little = dataset.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _name(syntax: UID) -> str:
    # An unknown one may hold anything, such as a name.
    return syntax.name if syntax.name != syntax else "an unknown transfer syntax"


def _to_intensities(stored: npt.NDArray, dataset: Dataset) -> npt.NDArray:
    """Apply DICOM's transformations of gray: modality, VOI window or table, inversion, padding."""
    padding = _padding(stored, dataset)
    bits = int(dataset.BitsStored)
    if bits <= 8 and stored.dtype.kind == "u" and not _is_transformed(dataset):
        top = 2**bits - 1
        held = np.minimum(stored, top)
        gray = held.astype(np.uint8) if top == 255 else (held * (255 / top)).astype(np.float32)
    else:
        # Each stored value is transformed once, not each pixel.
        if stored.dtype.itemsize <= 2:
            lowest = int(stored.min())
            levels = np.arange(lowest, int(stored.max()) + 1)
            place: npt.NDArray = stored.astype(np.int32) - lowest
        else:
            levels, place = np.unique(stored, return_inverse=True)
            place = place.reshape(stored.shape)
        values = _modality(levels, dataset)
        shown = _window(values, dataset)
        if shown is None:
            seen = place[~padding] if padding.any() else place
            low, high = np.percentile(values[seen], _PERCENTILES) if seen.size else (0.0, 0.0)
            shown = _scale(values, float(low), float(high))
        gray = (shown * 255).astype(np.float32)[place]
    if not np.isfinite(gray).all():
        raise UnreadableImageError("some pixels are not finite")
    if is_inverted(dataset):
        gray = 255 - gray
    gray[padding] = 0
    return gray


def _padding(stored: npt.NDArray, dataset: Dataset) -> npt.NDArray[np.bool_]:
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(first), int(first if limit is None else limit)))
    return (stored >= ends[0]) & (stored <= ends[1])


def _is_transformed(dataset: Dataset) -> bool:
    """Whether values are anything but a fraction of the full range."""
    rescaled = (dataset.get("RescaleSlope"), dataset.get("RescaleIntercept"))
    return (
        bool(dataset.get("ModalityLUTSequence"))
        or bool(dataset.get("VOILUTSequence"))
        or rescaled not in ((None, None), (1, 0))
        or dataset.get("WindowWidth") is not None
    )


def _modality(levels: npt.NDArray, dataset: Dataset) -> npt.NDArray[np.float64]:
    from pydicom.pixels.processing import apply_rescale

    if dataset.get("ModalityLUTSequence"):
        values, _ = _look_up(levels, dataset.ModalityLUTSequence[0], dataset)
        return values
    return np.asarray(apply_rescale(levels, dataset), dtype=np.float64)


def _window(values: npt.NDArray[np.float64], dataset: Dataset) -> npt.NDArray[np.float64] | None:
    """Apply the file's first VOI table or window; return fractions, or None if it has none."""
    from pydicom.pixels.processing import apply_windowing

    if dataset.get("VOILUTSequence"):
        shown, top = _look_up(values, dataset.VOILUTSequence[0], dataset)
        return shown / top
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    # The ends of pydicom's output range are its values far out on either side.
    ends = np.array([-1e300, 1e300])
    with np.errstate(over="ignore"):
        try:
            shown = apply_windowing(np.concatenate([ends, values]), dataset)
        except ValueError:
            # A width of zero or an unknown function counts as no window.
            return None
    return _scale(shown[2:], float(shown[0]), float(shown[1])) if np.isfinite(shown).all() else None


def _scale(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    if low == high:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


def _look_up(
    values: npt.NDArray, item: Dataset, dataset: Dataset
) -> tuple[npt.NDArray[np.float64], int]:
    """Map values by a DICOM table; also return the largest value of its entries' bits.

    Our own, since pydicom (3.0) wraps values around where a table has 8-bit entries, and refuses
    modality tables of 10 to 15 bits.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 2**16
    if not 1 <= bits <= 16:
        raise UnreadableImageError(f"its table of gray values has entries of {bits} bits")
    data = item.LUTData
    if isinstance(data, bytes):
        little = dataset.original_encoding[1]
        packed = bits <= 8 and len(data) < 2 * count
        table = np.frombuffer(data, np.uint8 if packed else "<u2" if little else ">u2")
    else:
        table = np.atleast_1d(np.asarray(data))
    if len(table) < count:
        raise UnreadableImageError(
            f"its table of gray values has {len(table):,} entries in place of {count:,}"
        )
    places = np.clip(np.round(values) - first, 0, count - 1).astype(np.int64)
    # Some manufacturers' entries have more bits than declared.
    deepest = max(bits, int(table.max()).bit_length())
    return table[places].astype(np.float64), 2**deepest - 1


def _from_color(
    pixels: npt.NDArray, interpretation: str, dataset: Dataset, color: str
) -> npt.NDArray:
    from PIL import Image
    from pydicom.pixels.processing import apply_color_lut, convert_color_space

    if interpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    elif interpretation != "RGB":
        try:
            pixels = convert_color_space(pixels, interpretation, "RGB")
        except NotImplementedError:
            raise UnreadableImageError(
                "its colors are of a kind (photometric interpretation) that featx does not read"
            ) from None
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind != "u":
        raise UnreadableImageError("it is neither gray nor has three colors")
    if pixels.dtype != np.uint8:
        palette = interpretation == "PALETTE COLOR"
        bits = 8 * pixels.dtype.itemsize if palette else int(dataset.BitsStored)
        deepest = 2**bits - 1
        pixels = np.round(np.minimum(pixels, deepest) * (255 / deepest)).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.convert("L") if color == "gray" else image)
