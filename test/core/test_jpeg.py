from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from vla_inference_ros.core.jpeg import MOST_SCANS, JpegError, jpeg_content, jpeg_form, jpeg_size

START, END = b"\xff\xd8", b"\xff\xd9"


def encoded(width: int, height: int, *options: int, grey: bool = False) -> bytes:
    pixels = np.random.default_rng(1).integers(
        0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8
    )
    return cv2.imencode(".jpg", pixels, list(options))[1].tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (2 + len(content)).to_bytes(2, "big") + content


def frame_header(width: int, height: int, marker: int = 0xC0) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return segment(marker, b"\x08" + size + bytes.fromhex("03 01 22 00 02 11 01 03 11 01"))


def scan(first: int = 0, last: int = 63, low: int = 0, ids: bytes = b"\1\2\3") -> bytes:
    """A scan's header and a little coded data."""
    components = b"".join(bytes([each, 0]) for each in ids)
    header = bytes([len(ids)]) + components + bytes([first, last, low])
    return segment(0xDA, header) + b"\x12\xff\x00\x34\xff\xd0\x56"


WHOLE = encoded(64, 48)
PROGRESSIVE = encoded(64, 48, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
SCAN = scan()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 48), (1280, 720), (333, 1000)])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 100),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    ],
    ids=["baseline", "progressive", "optimized", "restarts"],
)
def test_real_jpegs(width: int, height: int, grey: bool, options: tuple[int, ...]) -> None:
    assert jpeg_size(encoded(width, height, *options, grey=grey)) == (width, height)


def test_progressive_and_baseline_have_the_markers_they_should() -> None:
    assert b"\xff\xc0" in WHOLE
    assert b"\xff\xc2" in encoded(64, 48, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


def test_segments_before_the_frame_are_skipped_whatever_they_hold() -> None:
    thumbnail = encoded(16, 12)  # in EXIF data: with a size and an end marker of its own
    inserted = (
        segment(0xE1, b"Exif\x00\x00" + thumbnail)
        + segment(0xE2, b"ICC_PROFILE\x00" + bytes(65_000))
        + segment(0xFE, b"a comment \xff\xc0\xff\xda\xff\xd9")
        + segment(0xEF, b"")
    )
    picture = START + inserted + WHOLE[2:]
    assert jpeg_size(picture) == (64, 48)
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (48, 64, 3)


@pytest.mark.parametrize("marker", sorted({*range(0xC0, 0xC8)} - {0xC4}))
def test_every_kind_of_frame_gives_its_size(marker: int) -> None:
    assert jpeg_size(START + frame_header(40, 30, marker) + SCAN + END) == (40, 30)


@pytest.mark.parametrize("marker", sorted({*range(0xC9, 0xD0)} - {0xCC}))
def test_arithmetic_coding_is_refused_with_its_cause(marker: int) -> None:
    """A decoder makes a picture of any part of it, and warns of nothing."""
    for before in (b"", frame_header(40, 30)):
        with pytest.raises(JpegError, match="arithmetic-coded, in which damage cannot be told"):
            jpeg_size(START + before + frame_header(40, 30, marker) + SCAN + END)


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC])
def test_what_only_looks_like_a_frame_is_skipped(marker: int) -> None:
    looks_like_one = frame_header(1, 2, marker)
    assert jpeg_size(START + looks_like_one + frame_header(40, 30) + SCAN + END) == (40, 30)


def test_fill_bytes_and_standalone_markers_are_skipped() -> None:
    odd = b"\xff\xff\xff\x01\xff\xd0\xff\xff"
    assert jpeg_size(START + odd + frame_header(40, 30) + SCAN + END) == (40, 30)


def test_the_largest_size_is_read_without_decoding() -> None:
    assert jpeg_size(START + frame_header(65_535, 65_535) + SCAN + END) == (65_535, 65_535)


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0" * 512, b"\xff" * 200, WHOLE])
def test_padding_behind_the_end_is_taken(padding: bytes) -> None:
    form = jpeg_form(WHOLE + padding)
    assert (form.width, form.height, form.trailing) == (64, 48, len(padding))


def test_absent_tables_are_told() -> None:
    assert jpeg_form(WHOLE).has_tables
    assert not jpeg_form(START + frame_header(40, 30) + SCAN + END).has_tables


def scans_of(data: bytes) -> list[int]:
    return [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]


def test_a_progressive_jpeg_without_its_last_scans_is_cut() -> None:
    """Whole by every marker, and the decoder makes a coarser picture of it without a word."""
    begins = scans_of(PROGRESSIVE)
    assert jpeg_form(PROGRESSIVE).scans == len(begins) > 5
    for begin in begins[1:]:
        with pytest.raises(JpegError, match="before its last one: cut short"):
            jpeg_size(PROGRESSIVE[:begin] + END)


def test_each_component_has_its_scan() -> None:
    one_by_one = [scan(ids=bytes([each])) for each in (1, 2, 3)]
    assert jpeg_form(START + frame_header(40, 30) + b"".join(one_by_one) + END).scans == 3
    with pytest.raises(JpegError, match="ends behind scan 2"):
        jpeg_form(START + frame_header(40, 30) + b"".join(one_by_one[:2]) + END)


def test_a_progressive_jpeg_has_all_its_coefficients() -> None:
    """Each band in one scan: what is left when some get lost is a coarser picture, whole by every
    marker and to every decoder.
    """
    bands = [scan(0, 0)]
    bands += [scan(*band, ids=bytes([each])) for band in ((1, 5), (6, 63)) for each in (1, 2, 3)]
    begin = START + frame_header(40, 30, 0xC2)
    assert jpeg_form(begin + b"".join(bands) + END).scans == len(bands)
    for lost in range(len(bands)):
        with pytest.raises(JpegError, match=f"ends behind scan {len(bands) - 1}, before its last"):
            jpeg_form(begin + b"".join(bands[:lost] + bands[lost + 1 :]) + END)


def test_so_many_scans_that_decoding_takes_minutes_are_refused() -> None:
    last = PROGRESSIVE[scans_of(PROGRESSIVE)[-1] : -2]
    fits = MOST_SCANS - jpeg_form(PROGRESSIVE).scans
    assert jpeg_form(PROGRESSIVE[:-2] + fits * last + END).scans == MOST_SCANS
    with pytest.raises(JpegError, match=f"has {MOST_SCANS + 1} scans or more"):
        jpeg_form(PROGRESSIVE[:-2] + (fits + 1) * last + END)


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\x01", b"\xff\xfe\x00\x02"])
def test_millions_of_markers_are_not_walked_through(filling: bytes) -> None:
    """In Python each costs half a microsecond, and a message may have 16 MB."""
    filled, frame = filling * (1 << 20), frame_header(40, 30)
    with pytest.raises(JpegError, match="more than 2000 markers and fill bytes"):
        jpeg_form(START + filled + frame + SCAN + END)
    behind = START + frame + SCAN + filled + END
    if filling == b"\xff":  # passed over at once, as all is that stands before a marker there
        assert jpeg_size(behind) == (40, 30)
        return
    with pytest.raises(JpegError, match="more than 2000 markers and fill bytes"):
        jpeg_form(behind)


def test_a_large_picture_may_have_fewer_scans() -> None:
    large = START + frame_header(10_000, 10_000, 0xC2)
    assert jpeg_form(large + 10 * scan() + END).scans == 10
    with pytest.raises(JpegError, match="10000x10000 pixels has 11 scans or more"):
        jpeg_form(large + 11 * scan() + END)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "not a JPEG: starts with ff,"),
        (b"\x89PNG\r\n\x1a\n" + bytes(80), "not a JPEG: starts with 89 50 4e 47"),
        (START, "no end marker"),
        (b"\xff\xd8\xff", "no end marker"),
        (WHOLE[:-1], "no end marker"),
        (WHOLE[: len(WHOLE) // 2], "no end marker"),
        (START + END, "no frame size"),
        (START + segment(0xE0, bytes(20)) + END, "no frame size"),
        (START + segment(0xDA, bytes(10)) + frame_header(40, 30) + END, "no frame size"),
        (START + frame_header(40, 30) + END, "no picture data"),
        (START + frame_header(40, 30) + segment(0xDA, b"") + END, "a scan whose header is damaged"),
        (START + frame_header(40, 30) + segment(0xDA, bytes(9)) + END, "header is damaged"),
        (START + frame_header(40, 30, 0xC2) + scan(9, 5) + END, "header is damaged"),
        (START + frame_header(40, 30, 0xC2) + scan(0, 64) + END, "header is damaged"),
        (START + segment(0xE0, bytes(5))[:-2] + END, "no frame size"),
        (START + b"\xff\xe1\xff\xff" + frame_header(40, 30) + END, "no frame size"),
        (START + b"\xff\xc0\x00\x11\x08\x00" + END, "no frame size"),
        (START + b"\xff\xe0\x00\x00" + frame_header(40, 30) + END, "damaged at byte 4"),
        (START + b"\x00" + frame_header(40, 30) + END, "damaged at byte 2"),
        (START + frame_header(0, 30) + END, "says it is 0x30"),
        (START + frame_header(40, 0) + END, "says it is 40x0"),
    ],
)
def test_what_is_no_whole_jpeg_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(JpegError, match=reason):
        jpeg_size(data)


def test_every_cut_is_noticed() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(JpegError):
            jpeg_size(WHOLE[:length])


def test_a_thumbnails_end_marker_does_not_hide_a_cut() -> None:
    thumbnail = encoded(16, 12)
    inserted = segment(0xE1, b"Exif\x00\x00" + thumbnail + bytes(100))
    cut = (START + inserted)[: 12 + len(thumbnail)]
    assert cut.endswith(END)
    with pytest.raises(JpegError, match="no frame size"):
        jpeg_size(cut)


def test_damage_gives_a_size_or_the_error_and_nothing_else() -> None:
    source = random.Random(1)
    refused = 0
    for _ in range(2000):
        data = bytearray(WHOLE)
        for _ in range(source.randint(1, 6)):
            data[source.randrange(len(data))] = source.choice((0, 0xFF, source.randrange(256)))
        try:
            width, height = jpeg_size(bytes(data))
        except JpegError:
            refused += 1
        else:
            assert 0 < width < 65_536
            assert 0 < height < 65_536
    assert 0 < refused < 2000


def beside(whole: bytes, text: bytes) -> dict[str, bytes]:
    """The same picture with a text, or as many bytes as it has, at all places for such."""
    scan_at, last = whole.find(b"\xff\xda"), whole[:-2]
    tables = segment(0xDB, b"\x03" + text.ljust(64, b"."))
    codes = segment(0xC4, b"\x03" + bytes([1, *[0] * 15]) + text[:1])
    found = {f"{m:02x}": whole[:2] + segment(m, text) + whole[2:] for m in (0xFE, 0xE1, 0xEF)}
    return found | {
        "comment before the scan": whole[:scan_at] + segment(0xFE, text) + whole[scan_at:],
        "comment before the end": last + segment(0xFE, text) + END,
        "fill bytes": whole[:scan_at] + b"\xff" * len(text) + whole[scan_at:],
        "fill bytes before the end": last + b"\xff" * len(text) + END,
        "padding": last + bytes(len(text)) + END,
        "behind the end": whole + text,
        "behind the end, with another end": whole + text + END,
        "tables that nothing needs": whole[:2] + tables + codes + whole[2:],
    }


@pytest.mark.parametrize("whole", [WHOLE, PROGRESSIVE], ids=["baseline", "progressive"])
@pytest.mark.parametrize("place", beside(WHOLE, b"1"))
def test_content_is_the_same_whatever_a_sender_writes_beside_the_picture(
    whole: bytes, place: str
) -> None:
    texts = (b"1", b"another", b"12345")
    assert {jpeg_content(beside(whole, text)[place]) for text in texts} == {jpeg_content(whole)}


def test_content_differs_with_all_that_makes_a_picture() -> None:
    tables = bytearray(WHOLE)
    tables[WHOLE.find(b"\xff\xdb") + 10] ^= 1
    coded = bytearray(WHOLE)
    coded[-20] ^= 1
    size = bytearray(WHOLE)
    size[WHOLE.find(b"\xff\xc0") + 6] ^= 1
    others = [bytes(tables), bytes(coded), bytes(size), PROGRESSIVE, encoded(48, 64)]
    assert len({jpeg_content(each) for each in [WHOLE, *others]}) == 6


@pytest.mark.parametrize(
    "damage", [b"", b"\xff", START, START + END, WHOLE[:30], b"\x89PNG" + WHOLE]
)
def test_content_of_what_is_no_whole_jpeg_is_all_of_its_bytes(damage: bytes) -> None:
    assert jpeg_content(damage) == jpeg_content(bytes(bytearray(damage)))
    assert jpeg_content(damage) != jpeg_content(damage + b"1")


@pytest.mark.parametrize("wide", [False, True], ids=["8 bits", "16 bits"])
def test_a_quantisation_table_with_a_step_of_zero_is_damaged(wide: bool) -> None:
    """All coefficients of it would be none, and the decoder says nothing."""
    steps = [0 if step == 5 else 300 if wide else step + 1 for step in range(64)]
    good = [step or 256 if wide else step or 1 for step in steps]
    size = 2 if wide else 1
    for table, is_good in ((good, True), (steps, False)):
        content = bytes([16 * wide]) + b"".join(step.to_bytes(size, "big") for step in table)
        picture = WHOLE[:2] + segment(0xDB, content) + WHOLE[2:]
        if is_good:
            assert jpeg_size(picture) == (64, 48)
        else:
            with pytest.raises(JpegError, match="quantisation table"):
                jpeg_size(picture)


@pytest.mark.parametrize("content", [b"\0", b"\0" + b"1" * 63, b"\x10" + b"1" * 127])
def test_a_quantisation_table_that_is_cut_is_damaged(content: bytes) -> None:
    picture = WHOLE[:2] + segment(0xDB, content) + WHOLE[2:]
    with pytest.raises(JpegError, match="quantisation table"):
        jpeg_size(picture)
    assert jpeg_content(picture) != jpeg_content(WHOLE)
