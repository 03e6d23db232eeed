from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ResponseInputFile, ResponseInputImage, file_part, image_part, user_message
from tests.support.requests import refused

PNG = b"\x89PNG\r\n\x1a\n rest"
IMAGES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0 rest",
    "image/gif": b"GIF89a rest",
    "image/webp": b"RIFF\0\0\0\0WEBPVP8 ",
}


def url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def as_sent(part: ResponseInputImage | ResponseInputFile) -> Any:
    return user_message(part).to_dict()["content"][0]


@pytest.mark.parametrize("source", ["https://example.com/a.png", "HTTP://example.com/a.png", url("image/png", PNG)])
def test_an_image_by_its_url(source: str) -> None:
    message = user_message("What is this?", image_part(source, detail="low")).to_dict()
    assert message["content"][1] == {"type": "input_image", "image_url": source, "detail": "low"}


@pytest.mark.parametrize("kind", IMAGES)
def test_the_first_bytes_tell_the_type_of_an_image(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"  # a wrong name, for most of them
    path.write_bytes(IMAGES[kind])
    for source in (IMAGES[kind], bytearray(IMAGES[kind]), memoryview(IMAGES[kind]), path, str(path)):
        assert image_part(source).image_url == url(kind, IMAGES[kind])


def test_else_the_name_tells_the_type_or_the_program(tmp_path: Path) -> None:
    path = tmp_path / "drawing.svg"
    path.write_bytes(b"<svg/>")
    assert image_part(path).image_url == url("image/svg+xml", b"<svg/>")
    assert image_part(b"what?", media_type="image/tiff").image_url == url("image/tiff", b"what?")
    assert image_part(path, media_type="image/x-own", detail="high").detail == "high"


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"notes")
    way = "pass `media_type=`, such as 'image/png'"
    text = refused(lambda: image_part(path), "content")
    assert text == f"'notes.txt' is not known as an image by the first bytes or the name: {way}"
    text = refused(lambda: image_part(b"notes"), "content")
    assert text == f"the data is not known as an image by the first bytes or the name: {way}"
    refused(lambda: image_part(PNG, media_type="text/plain"), "content")


def test_a_file_by_its_url_and_by_its_id() -> None:
    assert as_sent(file_part("https://example.com/a.pdf")) == {
        "type": "input_file",
        "file_url": "https://example.com/a.pdf",
    }
    assert as_sent(file_part(file_id="file_1")) == {"type": "input_file", "file_id": "file_1"}
    assert as_sent(image_part(file_id="file_1")) == {"type": "input_image", "file_id": "file_1"}


def test_a_file_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-")
    for source in (path, str(path)):
        part = as_sent(file_part(source, detail="low"))
        data = url("application/pdf", b"%PDF-")
        assert part == {"type": "input_file", "file_data": data, "filename": "report.pdf", "detail": "low"}
    assert file_part(path, filename="a.txt").file_data == url("text/plain", b"%PDF-")
    (tmp_path / "unknown").write_bytes(b"?")
    assert file_part(tmp_path / "unknown").file_data == url("application/octet-stream", b"?")
    assert file_part(path, media_type="text/x-own").file_data == url("text/x-own", b"%PDF-")


def test_a_file_without_a_path_needs_a_name() -> None:
    for source in (b"a,b", url("text/csv", b"a,b")):
        assert as_sent(file_part(source, filename="t.csv")) == {
            "type": "input_file",
            "file_data": url("text/csv", b"a,b"),
            "filename": "t.csv",
        }
        text = refused(lambda source=source: file_part(source), "content")  # type: ignore[misc]
        assert text == "a file without a path needs `filename=`, from which the service knows its type"


@pytest.mark.parametrize("part", [image_part, file_part])
def test_other_sources_are_refused(part: Any, tmp_path: Path) -> None:
    assert refused(part, "content").endswith("needs exactly one of a source and `file_id`")
    refused(lambda: part(b"x", file_id="file_1"), "content")
    assert refused(lambda: part(5), "content").endswith("must be given as a path, a URL or bytes, not as int")
    text = refused(lambda: part("s3://user:secret@bucket/a.png"), "content")
    what = "an image" if part is image_part else "a file"
    assert text == f"the service does not read s3 URLs: pass {what} as an https URL, a path or bytes"
    with pytest.raises(FileNotFoundError):
        part(tmp_path / "absent.png")
