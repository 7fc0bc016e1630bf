"""Where the data sets come from: their archives with size and digest, where they go, how much they may hold.

Sizes and SHA-256 of DomainNet are those that TensorFlow Datasets notes (`domainnet/checksums.tsv`), the MD5
of Tiny ImageNet is the one that many loaders of it carry. Where ``url`` is empty, a person must register or
agree to terms first, and hands over the archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tlbook.errors import TlbookError

KILO, GIGA = 1000, 10**9
BU = "http://csr.bu.edu/ftp/visda/2019/multi-source"


@dataclass(frozen=True)
class Archive:
    """One file to get. ``digest`` is "sha256:…" or "md5:…", empty where none is known, as is ``size`` None.

    It is unpacked (or, if it is a .txt, copied) into the folder ``into`` of the data root; ``proof`` is what
    is there afterwards. ``rename`` maps a first folder inside the archive to what it is called here.
    ``files`` and ``bytes`` bound what it may unpack to.
    """

    name: str
    url: str
    proof: str
    into: str = ""
    size: int | None = None
    digest: str = ""
    files: int = 1
    bytes: int = GIGA
    rename: Mapping[str, str] = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether it is to be unpacked."""
        return not self.name.endswith(".txt")


@dataclass(frozen=True)
class Source:
    """What makes up a data set, and what a person must know or do."""

    archives: tuple[Archive, ...]
    about: str


def _domain(name: str, zipped: str, size: int, digest: str, lists: dict, files: int, unpacked: int) -> Source:
    """A DomainNet domain: its zip and the two official split lists (part -> size and SHA-256)."""
    domain = f"domainnet/{name}"
    archives = [Archive(f"{name}.zip", f"{BU}/{zipped}", domain, "domainnet", size, digest, files, unpacked)]
    for part, (length, sha256) in lists.items():
        file = f"{name}_{part}.txt"
        url = f"{BU}/domainnet/txt/{file}"
        archives.append(Archive(file, url, f"domainnet/{file}", "domainnet", length, sha256, bytes=length))
    return Source(tuple(archives), "DomainNet (cleaned version), http://ai.bu.edu/M3SDA/: for research only")


SOURCES: dict[str, Source] = {
    "tiny-imagenet": Source(
        (
            Archive(
                "tiny-imagenet-200.zip",
                "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                "tiny-imagenet-200",
                size=248_100_043,
                digest="md5:90528d7ca1a48142e341f4ef8d21d0de",
                files=130 * KILO,
                bytes=GIGA,
            ),
        ),
        "Tiny ImageNet, Stanford CS231n: ImageNet's terms",
    ),
    "pacs": Source(
        (
            Archive(
                "PACS.zip",
                "https://drive.usercontent.google.com/download?id=1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd"
                "&export=download&confirm=t",
                "PACS",
                files=12 * KILO,
                bytes=GIGA,
                rename={"kfold": "PACS", "pacs_data": "PACS", "pacs": "PACS"},
            ),
        ),
        "PACS, https://domaingeneralization.github.io: no digest is known, so `tlbook data check` counts it",
    ),
    "domainnet/real": _domain(
        "real", "real.zip", 6_062_039_589,
        "sha256:d7fe010b430c5b510f85d657d38c4a1924822695fabea4fef57bd00dba251d63",
        {"train": (4_440_944, "sha256:19d483256d24aef19e581b65eda8333fd918aef3eb733fe499ff384120e3a289"),
         "test": (1_911_327, "sha256:2b3f75bcde309aeb5931292084b2162e936b5f189e3bb1ad716f0f74c460864c")},
        200 * KILO, 12 * GIGA,
    ),
    "domainnet/clipart": _domain(
        "clipart", "groundtruth/clipart.zip", 1_270_909_081,
        "sha256:f8f248a3e8bbc9868c523ae24e6601b4c2ad102afc60c0efeb4f3255df22354d",
        {"train": (1_443_819, "sha256:affdadf5f95a7583e6b98030a3d35007e2613ee4dd942393c5a705ec2b429312"),
         "test": (628_917, "sha256:62c8e36aaba1c41ad9e249099739707220a44c08f167b37ef420f34a31628a6b")},
        60 * KILO, 4 * GIGA,
    ),
    "domainnet/quickdraw": _domain(
        "quickdraw", "quickdraw.zip", 459_920_701,
        "sha256:9f37df2a8c3733703dbb35ad9964202a65f675ca30137756457537536b485d84",
        {"train": (5_164_600, "sha256:3a5edd3bc215772010eebc87f158707703dd7e48091d13b816af81326a9d1c0f"),
         "test": (2_213_400, "sha256:2a00a60650a453c65c356da748fec54084a197272137c440e7d52d08947357bf")},
        200 * KILO, 3 * GIGA,
    ),
    "chest-xray": Source(
        (
            Archive(
                "X-Ray Image DataSet.zip", "", "xray", files=3 * KILO, bytes=5 * GIGA,
                rename={"X-Ray Image DataSet": "xray", "X-Ray-Image-DataSet": "xray"},
            ),
        ),
        "the X-rays of Ozturk et al. 2020 (https://github.com/muhammedtalo/COVID-19): three class folders "
        "Covid-19, No_findings, Pneumonia",
    ),
    "chexpert": Source(
        (
            Archive(
                "CheXpert-v1.0-small.zip", "", "CheXpert-v1.0-small", files=250 * KILO, bytes=40 * GIGA
            ),
        ),
        "CheXpert, Stanford AIMI (https://stanfordmlgroup.github.io/competitions/chexpert/): after "
        "registration; CheXpert-v1.0 is read as well",
    ),
    "imagenet": Source(
        (),
        "ImageNet ILSVRC2012 (https://image-net.org): after registration; train/ and val/ with a folder for "
        "each class",
    ),
}  # fmt: skip
GROUPS = {"domainnet": ("domainnet/real", "domainnet/clipart", "domainnet/quickdraw")}


def of(name: str) -> dict[str, Source]:
    """The sources of a name: one data set, or all of a group; an unknown name is refused."""
    known = (*SOURCES, *GROUPS)
    if name not in known:
        raise TlbookError(f"There is no data set {name!r} to get; choose from {', '.join(known)}.")
    return {part: SOURCES[part] for part in GROUPS.get(name, (name,))}
