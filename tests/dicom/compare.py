#!/usr/bin/env python3
"""Compares the grey image that chestlight makes of DICOM files with pydicom's.

    python3 -m venv venv && venv/bin/pip install pydicom numpy 'pylibjpeg[all]' pyjpegls
    cargo build --example grey
    venv/bin/python tests/dicom/compare.py [--as-cr] target/debug/examples/grey FOLDER...

pydicom gives stored values, modality and VOI transformation. What it leaves open is filled in as docs/dicom.md says:
black and white of a film without a window, padding, and the weights of colours. A file whose name begins with `no-` must
be refused. Prints one line a file with the greatest difference in grey levels of 255; exit code 1 if one is over 1, or of a lossy
codec over what two decoders may differ in. With `--as-cr` every file is compared as if it were of modality CR, and one
that is refused is no failure: for collections of all kinds of objects, such as those that pydicom brings.
"""

import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

warnings.simplefilter("ignore")


def read_pgm(path):
    data = path.read_bytes()
    magic, size, most = data.split(b"\n", 3)[:3]
    assert magic == b"P5"
    width, height = map(int, size.split())
    raw = data[len(magic) + len(size) + len(most) + 3:]
    dtype = np.uint8 if int(most) == 255 else np.dtype(">u2")
    return np.frombuffer(raw, dtype).reshape(height, width).astype(np.float64) / int(most)


def luma(rgb, most):
    return (rgb[..., 0] * 0.2126 + rgb[..., 1] * 0.7152 + rgb[..., 2] * 0.0722) / most


def reference(path):
    ds = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in ds.file_meta:
        implicit, little = ds.original_encoding
        ds.file_meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian if implicit else
            pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian)
    stored = ds.pixel_array
    if ds.SamplesPerPixel == 1 and ds.HighBit + 1 != ds.BitsStored:  # pydicom takes the low bits
        stored = np.frombuffer(ds.PixelData, "<u2")[:stored.size].reshape(stored.shape)
        stored = (stored >> (ds.HighBit + 1 - ds.BitsStored)) & (2 ** ds.BitsStored - 1)
    photometric = ds.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        rgb = apply_color_lut(stored, ds)
        most = 255 if rgb.dtype == np.uint8 or rgb.max() <= 255 else 65535
        return luma(rgb.astype(np.float64), most)
    if ds.SamplesPerPixel == 3:
        return luma(stored.astype(np.float64), 2 ** ds.BitsStored - 1)
    values = apply_modality_lut(stored, ds)
    slope, intercept = 1, 0
    if "RescaleSlope" in ds and "RescaleIntercept" in ds:
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    if ds.get("VOILUTSequence"):
        grey = apply_voi_lut(values, ds).astype(np.float64) / (2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif "WindowCenter" in ds and "WindowWidth" in ds:
        if ds.get("ModalityLUTSequence"):
            low, high = 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
        else:
            ends = [0, 2 ** ds.BitsStored - 1]
            if ds.PixelRepresentation:
                ends = [-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1]
            low, high = (end * slope + intercept for end in ends)
        grey = (apply_voi_lut(values, ds).astype(np.float64) - low) / (high - low)
    elif ds.get("ModalityLUTSequence"):
        grey = values / (2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1)
    else:
        least, most = min(0, int(stored.min())), max(0, int(stored.max()))
        bits = next(b for b in range(8, 17) if (least >= -(1 << b) and most < 1 << b) or b == 16)
        bits = min(bits, ds.BitsStored - ds.PixelRepresentation)
        ends = sorted(end * slope + intercept for end in (-(1 << bits) if least < 0 else 0, (1 << bits) - 1))
        grey = (values.astype(np.float64) - ends[0]) / (ends[1] - ends[0])
    grey = np.clip(grey, 0, 1)
    if photometric == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        grey = 1 - grey
    if "PixelPaddingValue" in ds:
        ends = sorted((int(ds.PixelPaddingValue), int(ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue))))
        grey = np.where((stored >= ends[0]) & (stored <= ends[1]), 0, grey)
    return grey


def allowed(film):
    ds = pydicom.dcmread(film, force=True, stop_before_pixels=True)
    syntax = ds.file_meta.get("TransferSyntaxUID", "")
    is_lossy = syntax in (pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEGExtended12Bit, pydicom.uid.JPEG2000)
    if not is_lossy:
        return 1
    return 2.5 if ds.SamplesPerPixel == 3 else max(1, 255 / (2 ** ds.BitsStored - 1)) + 0.5


def as_cr(data):
    """The file with the modality CR, byte for byte else."""
    little = re.sub(rb"(\x08\x00\x60\x00(?:CS\x02\x00|\x02\x00\x00\x00))[A-Z]{2}", rb"\1CR", data)
    return re.sub(rb"(\x00\x08\x00\x60CS\x00\x02)[A-Z]{2}", rb"\1CR", little)


def main():
    any_modality = sys.argv[1] == "--as-cr"
    program, *folders = sys.argv[1 + any_modality:]
    folders = map(Path, folders)
    films = sorted(film for folder in folders for film in (folder.rglob("*") if folder.is_dir() else [folder])
                   if film.is_file())
    worst, wrong = 0, []
    for film in films:
        with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as copies:
            if any_modality:
                copy = Path(copies) / film.name
                copy.write_bytes(as_cr(film.read_bytes()))
            run = subprocess.run([program, out, copy if any_modality else film], capture_output=True, text=True)
            ours = next(Path(out).iterdir(), None)
            if film.name.startswith("no-"):
                print(f"{'read' if ours else 'refused':>8} {film.name} {run.stderr.strip()[len(str(film)):]}")
                wrong += [film.name] if ours else []
                continue
            ours = read_pgm(ours) if ours else None
        try:
            theirs = reference(film)
        except Exception as error:
            print(f"      ?? {film.name}: {'refused' if ours is None else 'read'}; pydicom: {str(error)[:120]!r}")
            continue
        if ours is None:
            print(f" REFUSED {film.name}: {run.stderr.strip().partition(': ')[2]}")
            wrong += [] if any_modality else [film.name]
            continue
        apart = 255 * np.abs(ours - theirs).max() if ours.shape == theirs.shape else float("inf")
        worst = max(worst, apart)
        # Decoders of lossy codecs may differ in the last stored bit, and colours in that of each sample.
        if apart > allowed(film):
            wrong.append(film.name)
        print(f"{apart:8.3f} {film.name} (pydicom {theirs.min():.3f} to {theirs.max():.3f})")
    print(f"{len(films)} files, greatest difference {worst:.3f} grey levels, wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


main()
