"""One image file to its pixels; files' digests; files of the cache, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tlbook import settings
from tlbook.data.folders import EXTENSIONS
from tlbook.errors import TlbookError, at

RESIZE_RATIO = 8 / 7  # the paper's Resize(256), CenterCrop(224)
FORMATS = sorted(set(EXTENSIONS.values()))  # PIL would try others too, and run PostScript in Ghostscript
MAX_PIXELS = 2 * 89_478_485  # what PIL reads unless told otherwise
MAX_RATIO = 1000  # of the long side to the short one, which is scaled to the network's side
DARK = 1 << 14  # 16-bit values that are all below are taken for 10, 12 or 14 bits
MODES = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB")  # that PIL turns into RGB as they are meant
OVER_WHITE = ("LA", "La", "PA", "RGBA", "RGBa")

# PIL warns of images half as large as those that it refuses. They are read, and images are read in threads,
# where a filter of one thread's own does not hold.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def cache_folder() -> Path:
    """Where decoded images and runs live: ``TLBOOK_CACHE``, or ``tlbook`` in the user's cache folder."""
    base = settings.folder("XDG_CACHE_HOME") or settings.absolute("~/.cache")
    return settings.folder("TLBOOK_CACHE") or base / "tlbook"


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another path to write to, which becomes ``path`` at the end, and is removed if something fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with at(path):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def digest_files(folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """SHA-256 of each file; an empty or unreadable one is refused by name."""

    def one(path: str) -> str:
        try:
            content = (folder / path).read_bytes()
        except OSError as error:
            raise TlbookError(f"The image {folder / path} cannot be read ({error.strerror}).") from error
        if not content:
            raise TlbookError(f"The image {folder / path} is an empty file.")
        return hashlib.sha256(content).hexdigest()

    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(one, paths, chunksize=256))


def decode_image(path: Path, side: int, resized: int) -> np.ndarray:
    """One image as uint8 (3, side, side): upright, RGB, short side scaled to ``resized``, then the centre.

    A photo that says how the camera was held (EXIF orientation) is turned as it says. Grey (also of 16 bits),
    palette, CMYK and transparent images become RGB (transparency over white). Raises TlbookError that names
    the file where it is no image of the `FORMATS`, is cut short, is too large by its header (`MAX_PIXELS`,
    `MAX_RATIO`), or has pixels that 8 bits a colour would not keep: float, signed, of 32 bits, or of 16
    bits that fill less than 14.
    """
    image = open_image(path, upright=True)
    ratio = resized / min(image.size)
    size = tuple(max(resized, round(ratio * length)) for length in image.size)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = ((length - side) // 2 for length in image.size)
    return np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1)


def open_image(path: Path, mode: str = "RGB", upright: bool = False) -> Image.Image:
    """An image file, whole, as RGB or as grey ("L"); refusals as in `decode_image`.

    Turned by its EXIF orientation only where ``upright``: the official code leaves images as they are stored.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            _refuse_header(path, opened)
            deep = opened.format in ("PNG", "TIFF") and ";16" in str(opened.tile[:1])
            if upright:
                _turn(opened)
            plain = opened.mode == mode == "L" and "transparency" not in opened.info
            return opened.copy() if plain else _rgb(path, opened, deep).convert(mode)
    except TlbookError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise TlbookError(
            f"The file {path} is not an image, or one in an unknown format; {known} are read."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        if getattr(error, "strerror", None):  # the disk, not the image
            raise TlbookError(f"The image {path} cannot be read ({error.strerror}).") from error
        raise TlbookError(f"The image {path} is corrupt ({' '.join(str(error).split())}).") from error


def _too_large(path: Path) -> TlbookError:
    limit = min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))
    return TlbookError(f"The image {path} is too large: at most {limit:,} pixels are read.")


def _refuse_header(path: Path, image: Image.Image) -> None:
    """Refuse by what the header says, before a pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    if max(width, height) > MAX_RATIO * min(width, height):
        raise TlbookError(
            f"The image {path} is {width:,} x {height:,} pixels; one side may be at most {MAX_RATIO:,} times "
            "as long as the other."
        )
    tags = getattr(image, "tag_v2", {})  # of TIFF: 339 is the kind of numbers, 262 whether 0 is white
    grey16 = image.mode.startswith("I;16")
    signed_or_float = any(kind != 1 for kind in tags.get(339, (1,)))
    thirty_two = image.mode == "I" and image.format != "PNG"  # where PIL before 11 puts 16 bits
    known = image.mode in (*MODES, *OVER_WHITE, "I") or grey16
    if signed_or_float or thirty_two or not known or (grey16 and tags.get(262) == 0):
        raise TlbookError(
            f"The image {path} has pixels of mode {image.mode} (float, signed, inverted or of more than 16 "
            "bits); save it with 8 bits a colour, or as 16-bit grey."
        )
    one_clear = image.format == "PNG" and "transparency" in image.info and image.mode != "P"
    if one_clear and (not image.tile or image.tile[0][3] not in ("L", "RGB")):
        raise TlbookError(
            f"The image {path} has a transparent colour in other than 8 bits, which is not read; save it "
            "with an alpha channel."
        )


def _turn(image: Image.Image) -> None:
    """Turn an opened image as its EXIF orientation says, if it says so."""
    image.load()  # outside of what is forgiven: damaged pixels are refused
    with contextlib.suppress(Exception):  # damaged tags are no reason to refuse a photo
        ImageOps.exif_transpose(image, in_place=True)


def _rgb(path: Path, image: Image.Image, deep: bool) -> Image.Image:
    """As RGB; 16 bits (``deep``: of colours PIL keeps the higher 8) only where 8 keep what they hold."""
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey, which PIL would cut off at 255
        values = np.asarray(image).clip(0, 65535)
        scaled = values // 257
        if values.max() < DARK and len(np.unique(scaled)) < len(np.unique(values)):
            raise _dark(path, values.max())
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if deep and (brightest := _brightest(image)) < DARK >> 8:
        raise _dark(path, brightest << 8 | 255)
    if image.mode in OVER_WHITE or "transparency" in image.info:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _brightest(image: Image.Image) -> int:
    """The largest value of its colours, whatever its transparency."""
    bands = zip(image.getbands(), image.split(), strict=True)
    return max(band.getextrema()[1] for name, band in bands if name not in ("A", "a"))


def _dark(path: Path, brightest: int) -> TlbookError:
    return TlbookError(
        f"The image {path} has 16 bits, of which its values fill up to {brightest:,} only, as 10, 12 or 14 "
        "bits do; scale them to 0 to 65,535, or to 8 bits, alike for all images."
    )
