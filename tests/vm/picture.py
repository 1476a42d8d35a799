"""Pictures as rows of (red, green, blue): what a board's screen shows, and what the program should have drawn."""

import struct
import zlib
from pathlib import Path


def ppm(path):
    """A binary PPM of 8 bits, as QEMU's screendump writes it."""
    data = Path(path).read_bytes()
    magic, width, height, most, pixels = data.split(maxsplit=4)
    if magic != b"P6" or most != b"255":
        raise ValueError("not a PPM of 8 bits")
    return _rows(data[len(data) - int(width) * int(height) * 3:], int(width))


def png(path):
    """A PNG of 8 bits, RGB, not interlaced, as chestlight writes its screens."""
    data = Path(path).read_bytes()
    at, packed, width = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, *form = struct.unpack(">IIBBBBB", body)
            if form != [8, 2, 0, 0, 0]:
                raise ValueError(f"not a PNG that is read here: {form}")
        if kind == b"IDAT":
            packed += body
        at += length + 12
    lines, stride = zlib.decompress(packed), width * 3
    above, pixels = bytes(stride), bytearray()
    for start in range(0, len(lines), stride + 1):
        above = _unfilter(lines[start], bytearray(lines[start + 1:start + 1 + stride]), above)
        pixels += above
    return _rows(bytes(pixels), width)


def _unfilter(kind, line, above):
    for at in range(len(line) if kind else 0):
        left, corner = (line[at - 3], above[at - 3]) if at >= 3 else (0, 0)
        up = above[at]
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(guess - value))
        line[at] = line[at] + (0, left, up, (left + up) // 2, nearest)[kind] & 255
    return line


def _rows(pixels, width):
    triples = list(zip(pixels[::3], pixels[1::3], pixels[2::3]))
    return [triples[start:start + width] for start in range(0, len(triples), width)]


def lit(rows):
    """A picture of one colour as rows of booleans."""
    return [[green >= 128 for _, green, _ in row] for row in rows]


def plate(rows, colour):
    """The part of a picture that stands on a plate of this colour, cut out; empty where there is none."""
    wide = [row.count(colour) * 20 >= len(row) for row in rows]
    if not any(wide):
        return []
    top = wide.index(True)
    height = (wide[top:] + [False]).index(False)
    lines = rows[top:top + height]
    left = min(row.index(colour) for row in lines)
    right = max(len(row) - row[::-1].index(colour) for row in lines)
    return [row[left:right] for row in lines]
