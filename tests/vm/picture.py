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
    top, bottom, left, right = plate_at(rows, colour)
    return [row[left:right] for row in rows[top:bottom]]


def plate_at(rows, colour):
    """Where it is: top, bottom, left, right."""
    wide = [row.count(colour) * 20 >= len(row) for row in rows]
    if not any(wide):
        return 0, 0, 0, 0
    top = wide.index(True)
    bottom = top + (wide[top:] + [False]).index(False)
    lines = rows[top:bottom]
    left = min(row.index(colour) for row in lines)
    right = max(len(row) - row[::-1].index(colour) for row in lines)
    return top, bottom, left, right


def bars(rows, colours, track, ground):
    """Of the longest bar of each colour its filled length, its thickness, and the length of its track."""
    found = []
    for colour in colours:
        nearest = lambda pixel: min((colour, track, ground), key=lambda one: sum((a - b) ** 2 for a, b in zip(one, pixel)))
        best = (0, 0, 0)
        for row in rows:
            if colour in row:
                line = [nearest(pixel) for pixel in row[row.index(colour):]]
                filled = _run(line, colour)
                best = max(best, (filled + _run(line[filled:], track), filled, row.index(colour)))
        length, filled, left = best
        column = [nearest(row[left + filled // 2]) for row in rows]
        found.append((filled, max(_run(column[at:], colour) for at in range(len(column))), length))
    return found


def _run(line, colour):
    """How many there are of this colour before another one comes."""
    return next((at for at, pixel in enumerate(line) if pixel != colour), len(line))


def box(rows, ground, left, right):
    """The box that is not ground, in these columns and about the middle of the height."""
    middle = len(rows) // 2
    inked = [at for at in range(left, right) if rows[middle][at] != ground]
    if not inked:
        return []
    full = [sum(pixel != ground for pixel in row[inked[0]:inked[-1] + 1]) * 10 > 9 * (inked[-1] + 1 - inked[0]) for row in rows]
    top = middle - _run(full[middle::-1], True) + 1
    return [row[inked[0]:inked[-1] + 1] for row in rows[top:middle + _run(full[middle:], True)]]


def smaller(rows, width, height):
    """As a scene makes a picture smaller: each pixel is the mean, rounded down, of those that it covers."""
    spans = lambda n, to: [(at * n // to, max((at + 1) * n // to, at * n // to + 1)) for at in range(to)]
    columns = spans(len(rows[0]), width)
    small = []
    for top, bottom in spans(len(rows), height):
        lines = rows[top:bottom]
        pixels = []
        for left, right in columns:
            covered = [pixel for row in lines for pixel in row[left:right]]
            pixels.append(tuple(sum(channel) // len(covered) for channel in zip(*covered)))
        small.append(pixels)
    return small
