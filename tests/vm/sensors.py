"""A thermal zone and a battery that stand still, as the firmware of a PC tells of them: the body of an ACPI table."""

CELSIUS, PERCENT = 50, 78


def table():
    """AML of both: ACPI 6.5, sections 10.2.2 (battery), 11.4 (thermal zone) and 20.2 (encoding)."""
    kelvin = lambda celsius: _number(celsius * 10 + 2732)
    zone = _block(b"\x5b\x85", b"HEAT" + _name(b"_TMP", kelvin(CELSIUS)) + _name(b"_CRT", kelvin(105)))
    # Milliwatt hours; capacity by design and when full, rechargeable, millivolts, two levels of alarm, two steps.
    about = [0, 10000, 10000, 1, 12000, 1000, 500, 10, 10]
    now = [0, 0, PERCENT * 100, 12000]
    battery = (b"CELL" + _name(b"_HID", b"\x0c\x41\xd0\x0c\x0a") + _name(b"_STA", _number(0x1f))
               + _name(b"_BIF", _package([*map(_number, about), *[b"\x0d" + word + b"\0" for word in (b"board", b"1", b"virtual", b"")]]))
               + _name(b"_BST", _package(list(map(_number, now)))))
    return _block(b"\x10", b"\\_TZ_" + zone) + _block(b"\x10", b"\\_SB_" + _block(b"\x5b\x82", battery))


def _name(name, value):
    return b"\x08" + name + value


def _number(value):
    return b"\x0c" + value.to_bytes(4, "little")


def _package(values):
    return _block(b"\x12", bytes([len(values)]) + b"".join(values))


def _block(opcode, body):
    """With its length, which counts its own one or two bytes."""
    length = len(body) + 1
    if length < 64:
        return opcode + bytes([length]) + body
    length += 1
    return opcode + bytes([0x40 | length & 15, length >> 4]) + body
