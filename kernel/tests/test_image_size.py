import base64
import struct

import pytest

from omniroute.image_size import image_size

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1920, 1080) + b"\x08\x02\0\0\0"
GIF = b"GIF89a" + struct.pack("<HH", 320, 200) + b"\0\0\0"
LOSSY = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0\x30\x01\0\x9d\x01\x2a" + struct.pack("<HH", 640 | 0x4000, 480)
LOSSLESS = b"RIFF\x24\0\0\0WEBPVP8L\x18\0\0\0\x2f" + struct.pack("<I", 639 | 479 << 14) + b"\0" * 5
EXTENDED = (
    b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + (4000 - 1).to_bytes(3, "little") + (3000 - 1).to_bytes(3, "little")
)
FRAME = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, 768, 1024) + b"\x03\0"


def segment(marker: int, size: int) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", size + 2) + b"\xc0" * size


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(PNG, (1920, 1080), id="png"),
        pytest.param(GIF, (320, 200), id="gif"),
        pytest.param(GIF[:10], (320, 200), id="a gif of its first ten bytes"),
        pytest.param(LOSSY, (640, 480), id="webp"),
        pytest.param(LOSSLESS, (640, 480), id="lossless webp"),
        pytest.param(EXTENDED, (4000, 3000), id="extended webp"),
        pytest.param(b"\xff\xd8" + FRAME, (1024, 768), id="jpeg"),
        pytest.param(b"\xff\xd8" + segment(0xE0, 14) + segment(0xE1, 60_000) + FRAME, (1024, 768), id="jpeg, metadata"),
        pytest.param(b"\xff\xd8" + segment(0xC4, 30) + FRAME, (1024, 768), id="a table is no frame"),
        pytest.param(b"\xff\xd8\xff\xff\xff" + FRAME, (1024, 768), id="jpeg, padded markers"),
        pytest.param(b"\xff\xd8" + segment(0xE0, 14), None, id="a jpeg cut short"),
        pytest.param(b"\xff\xd8\xff\xe1\0\0" * 9, None, id="a jpeg with segments of no length"),
        pytest.param(PNG[:18], None, id="a png cut short"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt " + b"\x01" * 20, None, id="sound"),
        pytest.param(b"%PDF-1.7\n" + b"\x01" * 40, None, id="a document"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_the_size_stands_in_the_first_bytes(data, size):
    assert image_size(encoded(data)) == size


@pytest.mark.parametrize("data", ["not base64!", "é", "A", "====", encoded(PNG)[:20]])
def test_what_is_no_base64_has_no_size(data):
    assert image_size(data) is None


def test_only_the_beginning_of_a_long_image_is_looked_at():
    assert image_size(encoded(b"\xff\xd8" + segment(0xE0, 60_000) * 8 + FRAME)) is None
    assert image_size(encoded(PNG) + "!" * 1_000_000) == (1920, 1080)
