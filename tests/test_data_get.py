"""`tlbook data get` and `check` against a web server on this machine that is slow, cuts off and lies."""

import gzip
import hashlib
import io
import os
import stat
import sys
import tarfile
import threading
import time
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import images
import pytest
from conftest import one_sentence

from tlbook import cli
from tlbook.data import download, sources, unpack
from tlbook.data.sources import Archive, Source

CONTENT = bytes(range(256)) * 300
SIZE = len(CONTENT)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `CONTENT` (or `site.files`) as badly as ``site.how`` says; notes the ranges asked for."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        site, how = self.server.site, self.server.site.how
        site.asked.append(self.headers.get("Range", ""))
        body = site.files.get(self.path.lstrip("/"))
        if body is None or "missing" in how:
            return self.send_error(404)
        if "busy" in how and len(site.asked) <= 2:
            return self.send_error(503)
        begin = 0
        resumes = self.headers.get("Range", "").startswith("bytes=") and "no ranges" not in how
        if resumes and self.headers.get("If-Range", site.tag) == site.tag:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if begin >= len(body):
                return self.send_error(416)
            self.send_response(206)
            first = begin - 7 if "other range" in how else begin
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        length = len(body) - begin + (site.lie if "lies" in how else 0)
        if "no length" not in how:
            self.send_header("Content-Length", str(length))
        self.send_header("ETag", site.tag)
        self.end_headers()
        rest = body[begin:]
        if "cuts off" in how:
            rest = rest[: site.cut]
        if "more" in how:
            rest += b"x" * 5000
        if "silent" in how:
            self.wfile.write(rest[:1000])
            self.wfile.flush()
            time.sleep(site.silence)
            return None
        for i in range(0, len(rest), 8192):
            self.wfile.write(rest[i : i + 8192])
            if "slow" in how:
                time.sleep(0.01)
        return None

    def log_message(self, *words):
        pass


class Site:
    def __init__(self):
        self.how, self.asked, self.files = set(), [], {"a.zip": CONTENT}
        self.lie, self.cut, self.silence, self.tag = 0, 20_000, 1.0, '"one"'


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.001)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site()
    server.site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.site
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(site, tmp_path):
    """Fetch what the site has; the file's content."""

    def fetch(size=SIZE, digest=SHA256):
        return download.fetch(f"{site.url}/a.zip", tmp_path / "d" / "a.zip", size, digest).read_bytes()

    fetch.part = tmp_path / "d" / "a.zip.part"
    return fetch


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "d").iterdir())


@pytest.mark.parametrize("how", [set(), {"slow"}, {"busy"}, {"no length"}])
def test_a_file_arrives(fetch, site, tmp_path, how):
    site.how = how
    assert fetch() == CONTENT and left(tmp_path) == ["a.zip"]


def test_a_slow_server_is_waited_for_as_long_as_something_comes(fetch, site, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    monkeypatch.setattr(time, "sleep", partial(lambda sleep, s: sleep(s * 8), time.sleep))
    site.how = {"slow"}
    started = time.monotonic()
    assert fetch() == CONTENT and time.monotonic() - started > 0.6


def test_what_was_cut_off_is_resumed_where_it_ended(fetch, site):
    site.how = {"cuts off"}
    assert fetch() == CONTENT
    assert site.asked == ["", "bytes=20000-", "bytes=40000-", "bytes=60000-"]


def test_what_an_earlier_call_left_is_resumed(fetch, site):
    site.how, site.cut = {"cuts off"}, 0
    fetch.part.parent.mkdir()
    fetch.part.write_bytes(CONTENT[:50_000])
    with pytest.raises(download.Failed, match="cut off after 50000 of 76800 bytes.; what .* is kept"):
        fetch()
    assert fetch.part.read_bytes() == CONTENT[:50_000]
    site.how, site.asked = set(), []
    assert fetch() == CONTENT and site.asked == ["bytes=50000-"]


@pytest.mark.parametrize("how", [{"no ranges"}, {"other range"}])
def test_a_server_that_does_not_resume_is_not_believed_to(fetch, site, how):
    """It sends the whole again, or another part: appended, that would be another file."""
    fetch.part.parent.mkdir()
    fetch.part.write_bytes(CONTENT[:30_000])
    site.how = how
    assert fetch() == CONTENT


def test_a_file_that_has_changed_is_fetched_whole(fetch, site):
    site.how, site.files["a.zip"] = {"cuts off"}, b"y" * len(CONTENT)
    site.cut = 0
    fetch.part.parent.mkdir()
    fetch.part.write_bytes(b"y" * 30_000)
    fetch.part.with_suffix(".tag").write_text('"of another day"')
    site.how, site.files["a.zip"] = set(), CONTENT
    assert fetch() == CONTENT and site.asked == ["bytes=30000-"]


def test_a_part_that_is_too_long_is_thrown_away(fetch, site):
    fetch.part.parent.mkdir()
    fetch.part.write_bytes(b"z" * (len(CONTENT) + 9))
    assert fetch() == CONTENT and site.asked == [""]
    fetch.part.write_bytes(b"z" * (len(CONTENT) + 9))
    assert fetch(size=None) == CONTENT  # which the server answers with 416 first


@pytest.mark.parametrize("lie", [-3000, 3000])
def test_a_server_that_lies_about_the_size_is_refused(fetch, site, lie, refused):
    site.how, site.lie = {"lies"}, lie
    refused(f"is said to have {len(CONTENT) + lie} bytes, and the right file has {len(CONTENT)}", fetch)
    assert not fetch.part.exists()


def test_where_the_size_is_not_known_a_lie_is_a_cut(fetch, site, refused):
    site.how, site.lie = {"lies", "no ranges"}, 3000
    refused("cut off after 76800 of 79800 bytes", fetch, None, "")
    assert len(site.asked) == download.FRUITLESS + 1


def test_more_than_the_size_is_never_written(fetch, site, refused):
    site.how = {"more", "no length"}
    refused("sends more than the 76800 bytes", fetch)
    assert not fetch.part.exists() or fetch.part.stat().st_size == 0


def test_a_wrong_digest_is_refused_and_removed(fetch, site, tmp_path, refused):
    site.files["a.zip"] = CONTENT[::-1]
    refused("not the right file and was removed: a.zip.part has the SHA256 ", fetch)
    assert [name for name in left(tmp_path) if not name.endswith(".tag")] == []
    site.files["a.zip"] = CONTENT
    assert fetch() == CONTENT
    md5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
    assert fetch(digest=md5) == CONTENT


def test_a_silent_server_is_given_up(fetch, site, monkeypatch, refused):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(download, "FRUITLESS", 2)
    site.how, site.silence = {"silent", "no ranges"}, 0.4
    refused("cut off after 1000 bytes", fetch)


def test_a_server_that_always_cuts_off_is_given_up_in_the_end(fetch, site, monkeypatch, refused):
    monkeypatch.setattr(download, "ATTEMPTS", 5)
    site.how, site.cut = {"cuts off"}, 10
    refused("cut off after 50 of 76800 bytes", fetch)


def test_other_answers_are_said(fetch, site, tmp_path, refused):
    site.how = {"missing"}
    refused("could not be downloaded .the server answered 404", fetch)
    refused("does not begin with http", download.fetch, "file:///etc/passwd", tmp_path / "x")
    refused("has room for .* GB, and 1000000000.0 GB are needed", fetch, 10**18)


def test_without_a_net_it_says_so(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(download, "PAUSE", 0.001)
    match = "could not be downloaded .*refused.; what has come"
    refused(match, download.fetch, "http://127.0.0.1:9/a", tmp_path / "a")


# Unpacking


def zipped(path, files, **how):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


pack = pytest.mark.parametrize("pack", [zipped, tarred])


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pack
def test_an_archive_is_unpacked_without_litter(tmp_path, pack):
    litter = {"__MACOSX/kfold/a/._1.png": b"x", "kfold/.DS_Store": b"y"}
    files = {"kfold/a/1.png": b"one", "kfold/b/2.png": b"two"}
    path = pack(tmp_path / "a.archive", files | litter)
    assert unpack.unpack(path, tmp_path / "out", 10, 100, {"kfold": "PACS"}) == [tmp_path / "out" / "PACS"]
    assert contents(tmp_path / "out") == {"PACS/a/1.png": b"one", "PACS/b/2.png": b"two"}


@pack
@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "C:/evil", "a/.."])
def test_no_path_leads_outside(tmp_path, pack, name, refused):
    path = pack(tmp_path / "a.archive", {"a/good": b"1", name: b"2"})
    refused("leads outside its folder", unpack.unpack, path, tmp_path / "out", 10, 100)
    assert not (tmp_path / "out").exists() and not list(tmp_path.rglob("evil"))


def test_no_links_and_no_devices(tmp_path, refused):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            info = tarfile.TarInfo("a/link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        refused("link or device 'a/link'", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 10, 100)
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused("link or device 'a/link'", unpack.unpack, tmp_path / "a.zip", tmp_path / "out", 10, 100)
    assert not (tmp_path / "out").exists()


@pack
def test_no_more_than_allowed(tmp_path, pack, refused):
    path = pack(tmp_path / "a.archive", {f"a/{i}": b"0" * 1000 for i in range(5)})
    refused("more than the 4 files", unpack.unpack, path, tmp_path / "out", 4, 10_000)
    refused("more than the 9 files", unpack.unpack, path, tmp_path / "out", 9, 4999)
    assert not (tmp_path / "out").exists()
    unpack.unpack(path, tmp_path / "out", 5, 5000)


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path, refused):
    """A megabyte that says it is ten bytes, in both places where a zip says it."""
    path = zipped(tmp_path / "a.zip", {"a/bomb": b"0" * 1_000_000})
    content = path.read_bytes()
    true, false = (size.to_bytes(4, "little") for size in (1_000_000, 10))
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, false))
    refused("damaged|more in 'a/bomb' than it says", unpack.unpack, path, tmp_path / "out", 10, 1000)
    assert contents(tmp_path / "out") == {}


@pack
def test_damage_leaves_nothing(tmp_path, pack, refused):
    path = pack(tmp_path / "a.archive", {f"a/{i}": os.urandom(3000) for i in range(5)})
    content = bytearray(path.read_bytes())
    content[5000:5040] = bytes(40)
    path.write_bytes(content)
    refused("is damaged", unpack.unpack, path, tmp_path / "out", 10, 100_000)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_other_files_are_no_archives(tmp_path, refused):
    (tmp_path / "a.zip").write_bytes(b"\n<!DOCTYPE html><html>Sign in</html>")
    refused("neither a zip nor a tar, but a web page", unpack.unpack, tmp_path / "a.zip", tmp_path, 9, 9)
    refused("holds no file", unpack.unpack, zipped(tmp_path / "b.zip", {}), tmp_path, 9, 9)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_and_what_is_there_already_are_refused(tmp_path, refused):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/x", "1")
        archive.writestr("a/x", "2")
    refused("holds 'a/x' twice", unpack.unpack, tmp_path / "a.zip", tmp_path / "out", 9, 99)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "mine").write_text("mine")
    path = zipped(tmp_path / "b.zip", {"a/x": b"1"})
    refused("out/a exists already: move it away", unpack.unpack, path, tmp_path / "out", 9, 99)
    assert contents(tmp_path / "out") == {"a/mine": b"mine"}


@pack
@pytest.mark.parametrize(
    ("name", "match"),
    [
        (".", "without a name"),
        ("a/" * 40 + "x", "too long or too deep"),
        ("a/" + "x" * 256, "too long or too deep"),
        ("a/" + "x" * 200 + "/" + "/".join(["y" * 200] * 5), "too long or too deep"),
        ("a/two\nlines", "control characters"),
        ("a/good/x", "'a/good' as a file and as a folder"),
    ],
)
def test_odd_names_are_refused(tmp_path, pack, name, match, refused):
    path = pack(tmp_path / "a.archive", {"a/good": b"1", name: b"2"})
    refused(match, unpack.unpack, path, tmp_path / "out", 10, 100)
    assert not (tmp_path / "out").exists()


def test_empty_names_are_refused(tmp_path, refused):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(""), io.BytesIO())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.open(zipfile.ZipInfo(""), "w").close()
    for name in ("a.tar", "a.zip"):
        refused("without a name", unpack.unpack, tmp_path / name, tmp_path / "out", 10, 100)


def test_names_that_are_not_utf_8_are_refused(tmp_path, refused):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(os.fsdecode(b"a/caf\xe9")), io.BytesIO())
    refused("is not UTF-8", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 10, 100)
    path = zipped(tmp_path / "a.zip", {"a/caf\u00e9": b"1"})
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xff\xff"))
    refused("is damaged", unpack.unpack, path, tmp_path / "out", 10, 100)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_headers_of_a_tar_are_not_read(tmp_path, form, refused):
    for names in (["a/" + "x" * 3_000_000], ["a/ok", "a/" + "x" * 3_000_000]):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        refused(
            "is damaged .a header that is too", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 9, 99
        )


def test_headers_of_a_tar_do_not_hold_the_cpu(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(unpack, "HEADER_SECONDS", (0.05, 0.001))
    with open(tmp_path / "a.tar", "wb") as file:
        for i in range(400):
            extended = tarfile.TarInfo("x")
            extended.type, extended.size = tarfile.XHDTYPE, unpack.HEADER
            file.write(extended.tobuf(tarfile.USTAR_FORMAT) + b"1" * unpack.HEADER)
            file.write(tarfile.TarInfo(f"a/{i}").tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(10240))
    started = time.thread_time()
    refused("is damaged", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 999, 99)
    assert time.thread_time() - started < 2


def test_sparse_files_of_a_tar_are_refused(tmp_path, refused):
    info = tarfile.TarInfo("a/x")
    info.type = tarfile.GNUTYPE_SPARSE
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(info)
    refused("sparse", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 9, 99)
    info = tarfile.TarInfo("a/x")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000"}
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    refused("sparse|damaged", unpack.unpack, tmp_path / "a.tar", tmp_path / "out", 9, 99)


def test_what_is_passed_over_is_bounded_too(tmp_path, refused):
    path = tarred(tmp_path / "a.tar", {"a/x": b"1", "__MACOSX/x": bytes(200)})
    refused("more than the 9 files", unpack.unpack, path, tmp_path / "out", 9, 100)
    path = zipped(tmp_path / "a.zip", {"a/x": b"1"} | {f"b/{i}/": b"" for i in range(60)})
    refused("more than the 9 files", unpack.unpack, path, tmp_path / "out", 9, 100)
    path = tarred(tmp_path / "b.tar", {"a/x": b"1"})
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(30 << 20)))
    refused("goes on for more than", unpack.unpack, path, tmp_path / "out", 9, 100)


def test_an_encrypted_zip_is_refused(tmp_path, refused):
    path = zipped(tmp_path / "a.zip", {"a/x": b"1"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused("is encrypted", unpack.unpack, path, tmp_path / "out", 9, 99)


# The commands


def packed(folder):
    """A zip of a folder, as bytes, and what `sources` says of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent))
    content = buffer.getvalue()
    return content, "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def known(site, tmp_path, monkeypatch):
    """The site has a small Tiny ImageNet and DomainNet, and `sources` knows them."""
    tiny, digest = packed(images.tiny_imagenet(tmp_path / "made"))
    site.files = {"tiny-imagenet-200.zip": tiny}
    url, known = f"{site.url}/tiny-imagenet-200.zip", dict(size=len(tiny), digest=digest, files=100)
    archives = [Archive("tiny-imagenet-200.zip", "tiny-imagenet-200", url, **known)]
    made = images.domainnet(tmp_path / "made")
    real, digest = packed(made / "real")
    site.files["real.zip"] = real
    url = f"{site.url}/real.zip"
    parts = [Archive("real.zip", "domainnet/real", url, "domainnet", len(real), digest, 100)]
    for part in ("train", "test"):
        name = f"real_{part}.txt"
        site.files[name] = (made / name).read_bytes()
        digest = "sha256:" + hashlib.sha256(site.files[name]).hexdigest()
        size = len(site.files[name])
        parts.append(Archive(name, f"domainnet/{name}", f"{site.url}/{name}", "domainnet", size, digest))
    expected = {"tiny-imagenet": {"train": 12, "test": 6}, "domainnet/real": {"train": 9, "test": 5}}
    found = {"tiny-imagenet": archives, "domainnet/real": parts}
    found = {name: Source("about", tuple(a), {name: expected[name]}) for name, a in found.items()}
    monkeypatch.setattr(sources, "SOURCES", sources.SOURCES | found)
    monkeypatch.setattr(sources, "GROUPS", {"domainnet": ("domainnet/real",)})
    return site


@pytest.fixture
def tlbook(monkeypatch, capsys, tmp_path):
    """Run `tlbook data …` on a folder of its own; exit code, output and errors."""
    folder = ("--data", str(tmp_path / "sets"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tlbook", "data", *map(str, words), *folder])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def test_get_then_check(tlbook, known, tmp_path):
    code, out, err = tlbook("get", "tiny-imagenet")
    assert code == 0 and "tiny-imagenet-200 was unpacked from tiny-imagenet-200.zip" in out, err
    assert [p.name for p in (tmp_path / "sets" / ".downloads").iterdir()] == ["lock"]
    code, out, _ = tlbook("check", "tiny-imagenet")
    assert code == 0 and "complete   12 train, 6 test, 3 classes" in out
    asked = len(known.asked)
    code, out, _ = tlbook("get", "tiny-imagenet")
    assert code == 0 and "is there already" in out and len(known.asked) == asked
    assert tlbook("get", "domainnet", "--keep")[0] == 0
    assert (tmp_path / "sets" / ".downloads" / "real.zip").exists()
    code, out, _ = tlbook("check", "domainnet/real", "--decode")
    assert code == 0 and "complete   9 train, 5 test" in out


def test_a_mirror_comes_first_and_the_next_is_tried(tlbook, known):
    known.files["bad/tiny-imagenet-200.zip"] = b"another file"
    words = ("--mirror", f"{known.url}/none/", "--mirror", f"{known.url}/bad")
    assert tlbook("get", "tiny-imagenet", *words)[0] == 0
    assert len(known.asked) == 3
    code, _, err = tlbook("get", "domainnet", "--mirror", "/a/folder")
    assert code == 0, err


@pytest.mark.parametrize("place", ["file", "folder", "downloads", "other name"])
def test_an_archive_that_one_has_needs_no_net(tlbook, known, tmp_path, place):
    content, known.files = known.files["tiny-imagenet-200.zip"], {}
    mine = tmp_path / ("sets/.downloads" if place == "downloads" else "mine")
    mine.mkdir(parents=True)
    name = "copy (1).zip" if place == "other name" else "tiny-imagenet-200.zip"
    (mine / name).write_bytes(content)
    words = {"downloads": (), "folder": ("--archive", mine)}.get(place, ("--archive", mine / name))
    code, _, err = tlbook("get", "tiny-imagenet", *words)
    assert code == 0 and known.asked == [], err
    assert (mine / name).exists()  # what was not downloaded is not removed
    assert tlbook("check", "tiny-imagenet")[0] == 0


def refusal(answer, match):
    code, out, err = answer
    said = err.strip().splitlines()[-1]
    assert code == 2 and match in said and one_sentence(said), said


def test_refusals_say_what_to_put_where(tlbook, known, tmp_path):
    known.how = {"missing"}
    said = f"put tiny-imagenet-200.zip into {tmp_path}/sets/.downloads, or name it with --archive, or unpack"
    refusal(tlbook("get", "tiny-imagenet"), said)
    refusal(tlbook("get", "chexpert"), f"put CheXpert-v1.0-small.zip into {tmp_path}/sets/.downloads")
    refusal(tlbook("get", "imagenet"), f"put it in {tmp_path}/sets/imagenet")
    refusal(tlbook("get", "cats"), "no data set 'cats' to get; choose from tiny-imagenet")
    refusal(tlbook("get", "tiny-imagenet", "--archive", "/nowhere.zip"), "no archive /nowhere.zip")
    (tmp_path / "wrong.zip").write_bytes(b"wrong")
    refusal(tlbook("get", "tiny-imagenet", "--archive", tmp_path / "wrong.zip"), "wrong.zip has 5 bytes")
    two = ("--archive", tmp_path / "wrong.zip", "--archive", tmp_path / "wrong.zip")
    refusal(tlbook("get", "tiny-imagenet", *two), "wrong.zip is none of the archives wanted: tiny-imagenet")
    refusal(tlbook("check", "cats"), "no data set 'cats'")
    known.how, known.lie = {"lies"}, 5
    refusal(tlbook("get", "tiny-imagenet"), "is said to have")
    assert not (tmp_path / "sets" / "tiny-imagenet-200").exists()


def test_an_unpacked_archive_that_is_another_is_said(tlbook, tmp_path):
    path = zipped(tmp_path / "CheXpert-v1.0-small.zip", {"x/y": b"1"})
    refusal(tlbook("get", "chexpert", "--archive", path), "holds x, but not CheXpert-v1.0-small")


def test_pacs_of_any_archive_is_put_where_it_is_read(tlbook, tmp_path, monkeypatch):
    """No digest of it is known: what came is said, and counted."""
    folder = tmp_path / "made" / "kfold"
    for domain in ("photo", "cartoon", "sketch"):
        images.class_folders(folder / domain, count=2)
    (tmp_path / "PACS.zip").write_bytes(packed(folder)[0])
    code, out, err = tlbook("get", "pacs", "--archive", tmp_path / "PACS.zip")
    assert code == 0 and "its SHA-256 is" in out, err
    code, out, _ = tlbook("check", "pacs")
    assert code == 1 and out.count("incomplete") == 3 and "published are 1670 images" in out
    assert tlbook("check")[0] == 0  # of all sets, what is absent or incomplete is only said


def test_check_says_absent_broken_and_how(tlbook, known, tmp_path):
    (tmp_path / "sets").mkdir()
    code, out, _ = tlbook("check")
    assert code == 0 and out.count(" absent ") == len(out.splitlines()) == 10
    folder = images.domainnet(tmp_path / "sets")
    listed = sorted((folder / "real").glob("*/*.jpg"))
    listed[0].write_bytes(b"")
    listed[1].unlink()
    code, out, _ = tlbook("check", "domainnet/real")
    assert code == 1 and "broken     2 of 14 files: " in out
    images.domainnet(tmp_path / "sets")
    assert tlbook("check", "domainnet/real")[0] == 0
    listed[1].write_bytes(b"text")
    assert tlbook("check", "domainnet/real")[0] == 0  # it was not opened
    code, out, _ = tlbook("check", "domainnet/real", "--decode")
    assert code == 1 and "1 of 14 files" in out and "is not an image" in out
    (folder / "real_test.txt").unlink()
    code, out, _ = tlbook("check")
    assert code == 1 and "real_test.txt of the official layout is missing" in out


def test_check_a_folder_of_ones_own(tlbook, tmp_path, monkeypatch, capsys):
    folder = images.class_folders(tmp_path / "mine", count=3)
    (tmp_path / "sets").mkdir()
    code, out, _ = tlbook("check", f"folder:{folder}", "--decode")
    assert code == 0 and "complete   6 images, 2 classes" in out


def test_the_folder_must_be_named(monkeypatch, capsys):
    for words in (["get", "pacs"], ["check"]):
        monkeypatch.setattr(sys, "argv", ["tlbook", "data", *words])
        with pytest.raises(SystemExit):
            cli.main()
        assert "Name the folder of the data sets with --data, or in TLBOOK_DATA" in capsys.readouterr().err


def test_every_source_that_can_be_got_is_named_by_a_reader():
    from tlbook.data.layouts import DATASETS

    for name, source in sources.SOURCES.items():
        assert name in DATASETS or name == "pacs"
        for archive in source.archives:
            assert not archive.digest or archive.size
            assert archive.digest.partition(":")[0] in ("", "sha256", "md5")
    assert {part for parts in sources.GROUPS.values() for part in parts} <= set(sources.SOURCES)
