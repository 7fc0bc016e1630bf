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
from tlbook.errors import TlbookError, at

RESIZE_RATIO = 8 / 7  # the paper's Resize(256), CenterCrop(224)

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

    A photo that says how the camera was held (EXIF orientation) is turned as it says. Grey, palette, CMYK and
    transparent images become RGB (transparency over white). Raises TlbookError that names the file where it
    is not an image, is cut short, or has more pixels than PIL reads (twice `Image.MAX_IMAGE_PIXELS`).
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
        with Image.open(path) as opened:
            if upright:
                _turn(opened)
            return opened.copy() if opened.mode == mode == "L" else _rgb(opened).convert(mode)
    except UnidentifiedImageError as error:
        raise TlbookError(f"The file {path} is not an image, or one in an unknown format.") from error
    except Image.DecompressionBombError as error:
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise TlbookError(f"The image {path} is too large: at most {limit:,} pixels are read.") from error
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        raise TlbookError(f"The image {path} is corrupt ({' '.join(str(error).split())}).") from error


def _turn(image: Image.Image) -> None:
    """Turn an opened image as its EXIF orientation says, if it says so."""
    image.load()  # outside of what is forgiven: damaged pixels are refused
    with contextlib.suppress(Exception):  # damaged tags are no reason to refuse a photo
        ImageOps.exif_transpose(image, in_place=True)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bit grey, which PIL would cut off at 255
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
