"""Official layouts and folders of class folders, as listings of files."""

import os
import shutil
from collections import Counter

import pytest
from images import class_folders, picture, tiny_imagenet

from tlbook.data import layouts


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TLBOOK_DATA", str(folder))
    return folder


def test_tiny_imagenet(root):
    tiny_imagenet(root)
    found = layouts.listing("tiny-imagenet")
    assert found.classes == ("name of n01", "name of n02", "name of n03")
    assert Counter(zip(found.labels, found.split, strict=True)) == {
        (label, split): count for label in range(3) for split, count in (("train", 4), ("test", 2))
    }
    for path, label, split in zip(found.paths, found.labels, found.split, strict=True):
        assert (found.folder / path).is_file()
        if split == "train":
            assert path.startswith(f"train/n0{label + 1}/")
        else:  # the annotations run backwards: val_0, val_1 are of n01
            assert label == int(path.removeprefix("val/images/val_").removesuffix(".JPEG")) // 2


def test_tiny_imagenet_with_a_class_without_images_or_in_test_only(root, refused):
    folder = tiny_imagenet(root)
    with open(folder / "val" / "val_annotations.txt", "a") as file:
        file.write("val_9.JPEG\tn77\t0\t0\t1\t1\n\n")
    refused("'n77' .*val_9.JPEG.* test only", layouts.listing, "tiny-imagenet")
    for image in (folder / "train" / "n02" / "images").iterdir():
        image.unlink()
    refused("n02/images holds no image", layouts.listing, "tiny-imagenet")
    (folder / "words.txt").unlink()
    refused("words.txt of the official layout is missing", layouts.listing, "tiny-imagenet")


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [("pacs/photo", "PACS/photo"), ("pacs/sketch", "PACS/sketch"), ("chest-xray", "xray")],
)
def test_class_folders_of_official_layouts(root, dataset, folder):
    class_folders(root / folder, ("b", "a", "c"), count=3)
    found = layouts.listing(dataset)
    assert found.classes == ("a", "b", "c") and found.split == ()
    assert found.folder == root / folder
    assert [path.split("/")[0] for path in found.paths] == [found.classes[label] for label in found.labels]
    assert len(found.paths) == 9


def test_a_plain_folder_passes_over_hidden_files_and_clutter(tmp_path):
    folder = class_folders(tmp_path / "mine", count=2)
    for name in (".hidden.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / "cat" / name).write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / "read.me").write_text("no class")
    picture(folder / "cat" / "UPPER.JPG")
    found = layouts.listing(f"folder:{folder}")
    assert found.paths == ("cat/00.png", "cat/01.png", "cat/UPPER.JPG", "dog/00.png", "dog/01.png")
    assert found.labels == (0, 0, 0, 1, 1)


@pytest.mark.parametrize("name", ["notes.txt", "photo.heic", "photo"])
@pytest.mark.parametrize("part", ["", "train/", "test/"])
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path, part, name, refused):
    for folder in ("train", "test") if part else ("",):
        class_folders(tmp_path / folder, count=2)
    (tmp_path / part / "dog" / name).write_text("no image")
    match = rf"{part}dog/{name} is no image by its ending; these are read: \.bmp, .*\.jpg, .*\.webp"
    refused(match, layouts.listing, f"folder:{tmp_path}")


def test_other_files_of_official_layouts_are_passed_over(root):
    folder = class_folders(root / "PACS" / "photo", count=2)
    (folder / "cat" / "notes.txt").write_text("no image")
    assert len(layouts.listing("pacs/photo").paths) == 4


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("train", "val"), ("train", "valid"), ("Train", "validation"), ("TRAIN", "Test")],
)
def test_a_folder_with_train_and_test_or_val_keeps_its_split(tmp_path, train, test):
    class_folders(tmp_path / train, count=3)
    class_folders(tmp_path / test, count=2)
    found = layouts.listing(f"folder:{tmp_path}")
    assert found.classes == ("cat", "dog")
    assert Counter(found.split) == {"train": 6, "test": 4}
    for path, label, split in zip(found.paths, found.labels, found.split, strict=True):
        part, name, _ = path.split("/")
        assert (part == train) == (split == "train") and found.classes[label] == name


@pytest.mark.parametrize("val", ["val", "Valid", "VALIDATION"])
def test_of_three_parts_val_is_the_dev_part(tmp_path, val):
    for count, part in enumerate(("train", val, "test"), start=1):
        class_folders(tmp_path / part, count=count)
    found = layouts.listing(f"folder:{tmp_path}")
    expected = {"train": "train", val: "dev", "test": "test"}
    assert Counter(found.split) == {"train": 2, "dev": 4, "test": 6}
    assert [expected[path.split("/")[0]] for path in found.paths] == list(found.split)


@pytest.mark.parametrize(
    "parts",
    [("train",), ("train", "foo"), ("test", "val"), ("train", "val", "valid")],
)
def test_parts_that_make_no_split_are_refused_with_the_known_ones(tmp_path, parts, refused):
    for part in parts:
        class_folders(tmp_path / part, count=2)
    named = ", ".join(sorted(part for part in parts if part != "foo"))
    match = rf"holds the part\(s\) {named}, .* train and test, train and val \(or valid, or validation\)"
    refused(match, layouts.listing, f"folder:{tmp_path}")


def test_classes_may_be_called_as_parts_are(tmp_path):
    class_folders(tmp_path, ("test", "control"), count=2)
    (tmp_path / "test" / "thumbnails").mkdir()
    found = layouts.listing(f"folder:{tmp_path}")
    assert found.classes == ("control", "test") and found.split == ()


def test_loose_images_in_train_and_test_are_not_taken_for_two_classes(tmp_path, refused):
    class_folders(tmp_path, ("train", "test"), count=2)
    refused("holds 0 class folder.*at least 2", layouts.listing, f"folder:{tmp_path}")


def test_bad_folders_are_refused_by_name(tmp_path, refused):
    def refuses(match):
        refused(match, layouts.listing, f"folder:{tmp_path / 'mine'}")

    refuses("mine, which is not a folder")
    class_folders(tmp_path / "mine", ("cat",))
    refuses("mine holds 1 class folder.*at least 2")
    (tmp_path / "mine" / "dog").mkdir()
    refuses("mine/dog holds no image")


def test_a_class_in_test_only_is_refused(tmp_path, refused):
    class_folders(tmp_path / "train", count=2)
    class_folders(tmp_path / "test", ("cat", "dog", "eel"), count=1)
    refused("'eel' stands in .*test only", layouts.listing, f"folder:{tmp_path}")
    class_folders(tmp_path / "val", ("cat", "dog", "fly"), count=1)
    shutil.rmtree(tmp_path / "test" / "eel")
    refused("'fly' stands in .*val only", layouts.listing, f"folder:{tmp_path}")


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_another_part_lacks_is_refused(tmp_path, part, refused):
    for name in ("train", "val", "test"):
        class_folders(tmp_path / name, ("cat",) if name == part else ("cat", "dog"), count=1)
    refused(f"'dog' stands in train, but not in .*/{part}", layouts.listing, f"folder:{tmp_path}")


def test_missing_data_is_said(root, monkeypatch, refused):
    refused("pacs/photo was expected in .*PACS/photo", layouts.listing, "pacs/photo")
    refused("no data set 'pacs/painting'; choose tiny-imagenet, pacs/photo", layouts.listing, "pacs/painting")
    refused("domainnet/real was expected in .*domainnet", layouts.listing, "domainnet/real")
    monkeypatch.setenv("TLBOOK_DATA", "")
    refused("TLBOOK_DATA .*xray/", layouts.listing, "chest-xray")


# Absence, and names


def link(path, target="/nowhere/annex/key"):
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("part", ["", "train/", "test/"])
@pytest.mark.parametrize("name", ["cat/00.png", "cat/new.JPG", "eel"])
@pytest.mark.parametrize("itself", [False, True])
def test_a_link_that_leads_nowhere_is_named(tmp_path, part, name, itself, refused):
    for folder in ("train", "test") if part else ("",):
        class_folders(tmp_path / folder, count=2)
    path = tmp_path / part / name
    link(path, path if itself else "/nowhere/annex/key")
    why = "Too many levels of symbolic links" if itself else "No such file"
    refused(
        rf"link .*{part}{name} leads nowhere \({why}.*git annex get", layouts.listing, f"folder:{tmp_path}"
    )


def test_links_that_lead_somewhere_are_read_and_hidden_ones_passed_over(tmp_path):
    class_folders(tmp_path / "real", ("cat", "eel"), count=2)
    folder = class_folders(tmp_path / "mine", count=2)
    (folder / "eel").symlink_to(tmp_path / "real" / "eel")
    link(folder / "cat" / "00.png", tmp_path / "real" / "cat" / "00.png")
    for name in (".hidden.png", "Thumbs.db"):
        link(folder / "cat" / name)
    found = layouts.listing(f"folder:{folder}")
    assert found.classes == ("cat", "dog", "eel") and len(found.paths) == 6


@pytest.mark.parametrize("name", ["mine", "mine/deep", "mine/deep/er"])
def test_a_whole_tree_that_is_a_dead_link_is_named(tmp_path, name, refused):
    link(tmp_path / "mine")
    refused("link .*/mine leads nowhere", layouts.listing, f"folder:{tmp_path / name}")


def test_dead_links_of_official_layouts_are_named(root, refused):
    folder = class_folders(root / "PACS" / "photo", count=2)
    link(folder / "cat" / "00.png")
    refused("cat/00.png leads nowhere", layouts.listing, "pacs/photo")
    link(root / "xray")
    refused("xray leads nowhere", layouts.listing, "chest-xray")
    link(tiny_imagenet(root) / "wnids.txt")
    refused("wnids.txt leads nowhere", layouts.listing, "tiny-imagenet")


def test_what_dvc_has_not_brought_is_named(tmp_path, refused):
    folder = class_folders(tmp_path / "mine", count=2)
    (folder / "cat.dvc").write_text("outs:")
    assert len(layouts.listing(f"folder:{folder}").classes) == 2
    (folder / "eel.dvc").write_text("outs:")
    refused("eel.dvc stands for eel, which is not here", layouts.listing, f"folder:{folder}")


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"\x1b[31m"])
def test_names_that_are_not_text_are_refused(tmp_path, name, refused):
    folder = class_folders(tmp_path / "mine", count=2)
    name = os.fsdecode(name)
    path = picture(folder / "cat" / f"{name}.png")
    refused("is not UTF-8, or has control characters", layouts.listing, f"folder:{folder}")
    path.unlink()
    class_folders(folder, (name,), count=2)
    refused("is not UTF-8, or has control characters", layouts.listing, f"folder:{folder}")
    class_folders(tmp_path / name, count=2)
    refused("is not UTF-8, or has control characters", layouts.listing, f"folder:{tmp_path / name}")


def test_paths_that_cannot_be(monkeypatch, refused):
    refused("there is no home folder ~nosuchuser", layouts.listing, "folder:~nosuchuser/images")
    refused("File name too long", layouts.listing, f"folder:/{'x' * 300}")
    monkeypatch.setenv("TLBOOK_DATA", "~nosuchuser")
    refused("there is no home folder ~nosuchuser", layouts.listing, "pacs/photo")


@pytest.mark.parametrize("line", ["../../secret", "/etc", "..", ".", "n01/images", "a\\b", "n01"])
def test_the_list_of_classes_names_folders_once(root, line, refused):
    folder = tiny_imagenet(root)
    with open(folder / "wnids.txt", "a") as file:
        file.write(f"{line}\n")
    match = "is not (a plain path|the name of a class)|named twice"
    refused(match, layouts.listing, "tiny-imagenet")


@pytest.mark.parametrize("name", ["../../../secret.png", "/etc/passwd", "", "a//b"])
def test_annotations_stay_inside(root, name, refused):
    folder = tiny_imagenet(root)
    with open(folder / "val" / "val_annotations.txt", "a") as file:
        file.write(f"{name}\tn01\t0\t0\t1\t1\n")
    refused("is not a plain path", layouts.listing, "tiny-imagenet")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_lists_are_utf_8_with_or_without_a_mark(root, encoding, refused):
    folder = tiny_imagenet(root)
    before = layouts.listing("tiny-imagenet")
    for name in ("wnids.txt", "words.txt"):
        text = (folder / name).read_text() + ("n99\tcaf\u00e9\n" if name == "words.txt" else "")
        (folder / name).write_text(text, encoding=encoding)
    if encoding == "utf-8-sig":
        assert layouts.listing("tiny-imagenet") == before
    else:
        refused(r"txt is not UTF-8 text \(line \d+\)", layouts.listing, "tiny-imagenet")
