"""Pictures of rows: those that are sent, and what is said of those that cannot be."""

import base64
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schemas.example import Media
from teacher_cache.media import MediaError, MediaSource


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (6, 4), **options: Any) -> bytes:
    data = io.BytesIO()
    colour = {
        "RGB": (255, 0, 0),
        "RGBA": (255, 0, 0, 255),
        "L": 255,
        "P": 0,
        "1": 1,
        "CMYK": (0, 255, 255, 0),
    }
    Image.new(mode, size, colour[mode]).save(data, kind, **options)
    return data.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "source"
    inner.mkdir()
    return inner


def media_of(source: MediaSource, path: str) -> Media:
    return Media(path, source.sha256(path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_a_picture_is_opened_in_rgb(folder: Path, kind: str) -> None:
    data = picture(kind)
    (folder / "a b.png").write_bytes(data)
    source = MediaSource(folder)
    media = media_of(source, "a b.png")

    assert media.sha256 == hashlib.sha256(data).hexdigest()
    assert source.load(media) == data
    image = source.load_image(media)
    assert (image.mode, image.size) == ("RGB", (6, 4))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "CMYK"])
def test_other_modes_become_rgb(folder: Path, mode: str) -> None:
    (folder / "a").write_bytes(picture("TIFF", mode))

    assert MediaSource(folder).load_image(media_of(MediaSource(folder), "a")).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits_keeps_its_shades(folder: Path, kind: str) -> None:
    data = io.BytesIO()
    grey = Image.new("I;16", (3, 1))
    for place, value in enumerate((0, 40000, 65535)):
        grey.putpixel((place, 0), value)
    grey.save(data, kind)
    (folder / "a").write_bytes(data.getvalue())
    image = MediaSource(folder).load_image(media_of(MediaSource(folder), "a"))

    assert [image.getpixel((place, 0)) for place in range(3)] == [(0,) * 3, (156,) * 3, (255,) * 3]


def test_grey_of_16_bits_is_turned_too(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("I;16", (6, 4)).save(folder / "a.png", exif=exif)

    assert MediaSource(folder).load_image(media_of(MediaSource(folder), "a.png")).size == (4, 6)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_have_no_known_range(folder: Path, mode: str) -> None:
    Image.new(mode, (6, 4)).save(folder / "a.tiff")

    with pytest.raises(MediaError, match=rf"^a.tiff has 32 bits a pixel \(mode {mode}\), .* with 8 or 16$"):
        MediaSource(folder).load_image(media_of(MediaSource(folder), "a.tiff"))


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_transparency_is_left_out(folder: Path, mode: str) -> None:
    transparent = {"P": b"\x00\x80", "L": 255, "RGB": (255, 0, 0)}[mode]
    (folder / "a").write_bytes(picture("PNG", mode, transparency=transparent))

    assert MediaSource(folder).load_image(media_of(MediaSource(folder), "a")).mode == "RGB"


def test_a_picture_taken_sideways_is_turned(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "a.jpg").write_bytes(picture("JPEG", exif=exif))
    source = MediaSource(folder)

    assert source.load_image(media_of(source, "a.jpg")).size == (4, 6)


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_a_data_uri_has_the_type_of_the_bytes_not_of_the_name(folder: Path, kind: str, name: str) -> None:
    data = picture(kind)
    (folder / "a.gif").write_bytes(data)
    source = MediaSource(folder)

    wanted = f"data:{name};base64,{base64.b64encode(data).decode()}"
    assert source.data_uri(media_of(source, "a.gif")) == wanted


@pytest.mark.parametrize("kept", [bytes, memoryview])
def test_bytes_of_the_source_itself(kept: Any) -> None:
    data = picture()
    digest = hashlib.sha256(data).hexdigest()

    source = MediaSource(inline={digest: kept(data)})
    assert source.load(Media(f"inline/{digest}.png", digest)) == data


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    (folder / "a.png").write_bytes(picture())
    (folder / "b.png").symlink_to("a.png")
    source = MediaSource(folder)

    assert source.load(media_of(source, "b.png")) == picture()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.png", "none.png is not there"),
        ("sub/none.png", "sub/none.png is not there"),
        ("../secret.png", "../secret.png is outside the folder of its source"),
        ("/etc/hostname", "/etc/hostname is outside the folder of its source"),
        ("link.png", "link.png is outside the folder of its source"),
        ("inner/secret.png", "inner/secret.png is outside the folder of its source"),
        (".", ". is no regular file"),
        ("pipe", "pipe is no regular file"),
        ("ring", "ring "),
        ("a\0b", "cannot be read: "),
        ("x" * 5000, "cannot be read: "),
        ("data:undecodable,00", "a data URI without base64 bytes that can be decoded"),
        (
            "http://localhost:1/x.png?key=secret",
            "http://localhost:1/x.png is a URL; --allow-remote-media would",
        ),
        ("HTTPS://localhost:1/x.png", "HTTPS://localhost:1/x.png is a URL"),
    ],
)
def test_what_cannot_be_had_is_said(tmp_path: Path, folder: Path, path: str, message: str) -> None:
    (tmp_path / "secret.png").write_bytes(picture())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "inner").symlink_to(tmp_path)
    (folder / "ring").symlink_to("ring")
    os.mkfifo(folder / "pipe")
    source = MediaSource(folder)

    media = media_of(source, path)
    assert media.sha256 == ""
    with pytest.raises(MediaError) as raised:
        source.load(media)
    assert message in str(raised.value)
    assert "key=secret" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.png is no picture that can be read: cannot identify image file the file"),
        (b"GIF89a", "a.png is no picture that can be read"),
        (b"<svg/>", "a.png is no picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.png is no picture that can be read"),
        (picture()[:-30], "a.png is no picture that can be read"),
        (picture("JPEG", size=(99, 99))[:-90], "a.png is no picture that can be read"),
        (png_that_claims(8001, 8000), "a.png has more than 64 million pixels"),
        (png_that_claims(10_000, 10_000), "a.png has more than 64 million pixels"),
        (png_that_claims(2**31 - 1, 2**31 - 1), "a.png has more than 64 million pixels"),
    ],
)
def test_what_is_no_picture_is_said(folder: Path, data: bytes, message: str) -> None:
    (folder / "a.png").write_bytes(data)
    source = MediaSource(folder)

    for ask in (source.load_image, source.data_uri):
        with pytest.raises(MediaError) as raised:
            ask(media_of(source, "a.png"))
        assert str(raised.value).startswith(message)
        assert "0x" not in str(raised.value)


@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"]),
    position=st.integers(0, 10**6),
    new=st.binary(min_size=1, max_size=8),
    end=st.none() | st.integers(0, 10**6),
)
def test_any_bytes_are_a_picture_or_said_to_be_none(
    kind: str, position: int, new: bytes, end: int | None
) -> None:
    data = picture(kind, size=(40, 30))
    at = position % len(data)
    data = data[:at] + new + data[at + len(new) :]
    data = data if end is None else data[: end % len(data)]
    digest = hashlib.sha256(data).hexdigest()

    try:
        image = MediaSource(inline={digest: data}).load_image(Media("inline/x", digest))
    except MediaError as error:
        image, said = None, str(error)
        assert "\n" not in said
    assert image is None or image.mode == "RGB"


def test_bytes_that_changed_since_the_plan_are_not_sent(folder: Path) -> None:
    (folder / "a.png").write_bytes(picture())
    source = MediaSource(folder)
    media = media_of(source, "a.png")
    (folder / "a.png").write_bytes(picture(size=(5, 5)))

    with pytest.raises(MediaError, match=r"a.png: sha256 [0-9a-f]{12} found, [0-9a-f]{12} wanted"):
        source.load(media)


def test_a_file_that_came_after_the_plan_is_not_sent(folder: Path) -> None:
    source = MediaSource(folder)
    media = media_of(source, "a.png")
    (folder / "a.png").write_bytes(picture())

    with pytest.raises(MediaError, match=r"a.png could not be read when this run was planned"):
        source.load(media)


def test_a_source_without_a_folder_has_no_files() -> None:
    with pytest.raises(MediaError, match=r"a.png: this source has no folder for media"):
        MediaSource().load(Media("a.png", ""))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_not_ours_to_read(folder: Path) -> None:
    (folder / "a.png").write_bytes(picture())
    digest = hashlib.sha256(picture()).hexdigest()
    (folder / "a.png").chmod(0)

    with pytest.raises(MediaError, match=r"a.png cannot be read: Permission denied"):
        MediaSource(folder).load(Media("a.png", digest))
