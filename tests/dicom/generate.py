#!/usr/bin/env python3
"""Makes synthetic DICOM files of every kind that docs/dicom.md lists, for compare.py. They show no patient.

    venv/bin/python tests/dicom/generate.py FOLDER
    venv/bin/python tests/dicom/generate.py --fixtures tests/dicom/films

The second makes the small films that `cargo test` reads, one for each codec. Needs what compare.py needs, and Debian's dcmtk and libgdcm-tools. A file whose name begins with `no-` must be
refused.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import compress
from pydicom.sequence import Sequence
from pydicom.uid import (CTImageStorage, ComputedRadiographyImageStorage, DeflatedExplicitVRLittleEndian,
                         DigitalXRayImageStorageForPresentation, ExplicitVRBigEndian, ExplicitVRLittleEndian,
                         ImplicitVRLittleEndian, JPEG2000, JPEG2000Lossless, JPEGLSLossless, JPEGLSNearLossless,
                         RLELossless, SecondaryCaptureImageStorage, generate_uid)

HEIGHT, WIDTH = 237, 301
FLAT = 130  # where a flat part begins


def field(bits, signed=False):
    """A smooth field with edges and a little noise, over the whole range."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT, WIDTH]).reshape(2, 1, 1)
    value = 0.5 + 0.3 * np.sin(7 * x + 3 * y * y) + 0.15 * np.cos(11 * y)
    value[HEIGHT // 4:HEIGHT // 2, WIDTH // 4:WIDTH * 2 // 3] *= 0.6
    value += np.random.default_rng(1).normal(0, 0.004, value.shape)
    value[:4, :4], value[-4:, -4:] = 0, 1
    stored = (np.clip(value, 0, 1) * (2 ** bits - 1)).round().astype(np.int32)
    stored[FLAT:FLAT + 20, 20:50] = stored[FLAT, 20]  # for runs
    return stored - 2 ** (bits - 1) if signed else stored


def film(bits=12, allocated=16, signed=False, photometric="MONOCHROME2", high=None, pixels=None, **tags):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.StudyDate, ds.StudyTime, ds.Modality = "20261125", "091300", "CR"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "PHANTOM", "Phantom^A", "19800229", "O"
    ds.ViewPosition, ds.BodyPartExamined = "PA", "CHEST"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber, ds.AccessionNumber = "1", 1, 1, ""
    pixels = field(bits, signed) if pixels is None else pixels
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated, ds.BitsStored = allocated, bits
    ds.HighBit = bits - 1 if high is None else high
    ds.PixelRepresentation = int(signed)
    raw = (pixels.astype(np.int64) & (2 ** bits - 1)) << (ds.HighBit + 1 - bits)
    if signed and high is None:
        raw = pixels.astype(np.int64)  # the sign fills the unused bits, as writers do
    raw = raw.astype(np.int64).astype(np.uint16 if allocated == 16 else np.uint8)
    ds.PixelData = raw.tobytes() + b"\0" * (raw.nbytes % 2)
    ds["PixelData"].VR = "OW" if allocated == 16 else "OB"
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def lut(values, first, bits, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values) % 65536, first, bits])
    item.add_new("LUTData", vr, [int(v) for v in values] if vr == "US" else np.asarray(values, "<u2").tobytes())
    return Sequence([item])


def save(folder, name, ds, syntax=ExplicitVRLittleEndian, **options):
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        width = ds.BitsAllocated // 8
        if ds["PixelData"].VR == "OW" and width == 2:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    pydicom.dcmwrite(folder / f"{name}.dcm", ds, enforce_file_format=True,
                     little_endian=syntax != ExplicitVRBigEndian, implicit_vr=syntax == ImplicitVRLittleEndian,
                     **options)


def by_tool(folder, name, source, *command):
    done = subprocess.run([*command, str(source), str(folder / f"{name}.dcm")], capture_output=True, text=True)
    if done.returncode:
        print(command[0], "cannot make", name, done.stderr.strip()[-120:])


def colour(bits=8):
    most = 2 ** bits - 1
    grey = field(bits).astype(np.float64) / most
    return (np.stack([grey, grey ** 2, 1 - grey], axis=-1) * most).round().astype(np.int32)


def ybr(rgb, most=255):
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    mid = (most + 1) / 2
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.clip(np.stack([y, (b - y) / 1.772 + mid, (r - y) / 1.402 + mid], axis=-1).round(), 0, most).astype(int)


def palette(bits, entries, first=0):
    most = 2 ** bits - 1
    ramp = np.linspace(0, most, entries).round().astype(np.uint16)
    tags = {}
    for name, values in (("Red", ramp), ("Green", ramp[::-1]), ("Blue", (ramp // 2))):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [entries % 65536, first, bits]
        tags[f"{name}PaletteColorLookupTableData"] = (
            values.astype("<u2").tobytes() if bits == 16 else values.astype(np.uint8).tobytes() + b"\0" * (entries % 2))
    return tags


def segmented(ds, entries):
    """The same ramp as `palette(16, ...)` for red, as a discrete and a linear segment."""
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"Segmented{name}PaletteColorLookupTableData",
                np.array([0, 1, 0, 1, entries - 1, 65535], "<u2").tobytes())
        delattr(ds, f"{name}PaletteColorLookupTableData")


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    depths = [(8, 8), (7, 8), (8, 16), (10, 16), (12, 16), (14, 16), (15, 16), (16, 16)]

    # Depth, sign and sense in every native transfer syntax.
    for bits, allocated in depths:
        for signed in (False, True):
            for sense in ("MONOCHROME1", "MONOCHROME2"):
                for syntax, form in ((ImplicitVRLittleEndian, "implicit"), (ExplicitVRLittleEndian, "explicit"),
                                     (ExplicitVRBigEndian, "big"), (DeflatedExplicitVRLittleEndian, "deflated")):
                    name = f"native-{bits}in{allocated}{'s' if signed else 'u'}-{sense[-1]}-{form}"
                    save(out, name, film(bits, allocated, signed, sense), syntax)

    # Every codec over the same.
    for bits, allocated in depths:
        for signed in (False, True):
            base = f"{bits}in{allocated}{'s' if signed else 'u'}"
            source = out / f"native-{base}-2-explicit.dcm"
            for name, uid in (("rle", RLELossless), ("j2k", JPEG2000Lossless), ("jls", JPEGLSLossless)):
                if (name, bits, allocated) == ("rle", 8, 16):
                    continue  # pydicom 3.0 writes one that it cannot read
                ds = pydicom.dcmread(source)
                try:
                    compress(ds, uid, generate_instance_uid=False)
                    ds.save_as(out / f"{name}-{base}.dcm")
                except Exception as error:
                    print("pydicom cannot make", name, base, error)
            if not signed:
                for name, uid, options in (("j2k-lossy", JPEG2000, {"j2k_cr": [8]}),
                                           ("jls-near", JPEGLSNearLossless, {"jls_error": 2})):
                    ds = pydicom.dcmread(source)
                    try:
                        compress(ds, uid, generate_instance_uid=False, **options)
                        ds.save_as(out / f"{name}-{base}.dcm")
                    except Exception as error:
                        print("pydicom cannot make", name, base, error)
                for option in ("--jpeg", "--j2k", "--jpegls", "--rle"):
                    by_tool(out, f"gdcm{option[1:]}-{base}", source, "gdcmconv", option)
                for predictor in range(1, 8):
                    by_tool(out, f"dcmtk-jpegll{predictor}-{base}", source,
                             "dcmcjpeg", "+tl", "+el", "+sv", str(predictor))
                by_tool(out, f"dcmtk-jpegsv1-{base}", source, "dcmcjpeg", "+tl", "+e1")
                by_tool(out, f"dcmtk-jls-{base}", source, "dcmcjpls", "+el")
                if bits > 7:  # dcmtk 3.6.7 errs with 7 bits
                    by_tool(out, f"dcmtk-jlsnear-{base}", source, "dcmcjpls", "+en", "+md", "3")
                by_tool(out, f"dcmtk-jlsfrag-{base}", source, "dcmcjpls", "+el", "+fs", "4")
                by_tool(out, f"dcmtk-rle-{base}", source, "dcmcrle")
                if bits in (8, 12):
                    by_tool(out, f"dcmtk-extended-{base}", source, "dcmcjpeg", "+ee", "+q", "95")
                if bits == 8 and allocated == 8:
                    by_tool(out, f"dcmtk-baseline-{base}", source, "dcmcjpeg", "+eb", "+q", "90")
                    by_tool(out, f"dcmtk-progressive-{base}", source, "dcmcjpeg", "+ep", "+q", "90")

    # High bit, with an overlay in the bits that are left.
    pixels = field(12)
    for high in (12, 13, 15):
        save(out, f"highbit-{high}", film(12, high=high))
    ds = film(12)
    overlay = np.zeros((HEIGHT, WIDTH), np.uint16)
    overlay[10:60, 10:60] = 1
    ds.add_new((0x6000, 0x0010), "US", HEIGHT)
    ds.add_new((0x6000, 0x0011), "US", WIDTH)
    ds.add_new((0x6000, 0x0040), "CS", "G")
    ds.add_new((0x6000, 0x0050), "SS", [1, 1])
    ds.add_new((0x6000, 0x0100), "US", 1)
    ds.add_new((0x6000, 0x0102), "US", 0)
    ds.add_new((0x6000, 0x3000), "OW", np.packbits(overlay.astype(np.uint8).ravel(), bitorder="little").tobytes())
    save(out, "overlay-apart", ds)

    # Windows, rescaling, tables, padding, presentation.
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        for signed in (False, True):
            centre = -200 if signed else 1900
            save(out, f"window-{function.lower()}-{'s' if signed else 'u'}",
                 film(signed=signed, WindowCenter=centre, WindowWidth=1500, VOILUTFunction=function))
    save(out, "window-several", film(WindowCenter=[1000, 3000], WindowWidth=[800, 200]))
    save(out, "window-1", film(WindowCenter=2000, WindowWidth=1))
    save(out, "window-m1", film(photometric="MONOCHROME1", WindowCenter=2000, WindowWidth=2500))
    save(out, "window-wider", film(WindowCenter=2048, WindowWidth=9000))
    save(out, "window-8bit", film(8, 8, WindowCenter=100, WindowWidth=120))
    save(out, "window-fraction", film(WindowCenter=1800.5, WindowWidth=900.25))
    save(out, "rescale", film(RescaleSlope=2.5, RescaleIntercept=-1024, RescaleType="US"))
    save(out, "rescale-window", film(RescaleSlope=0.5, RescaleIntercept=100, WindowCenter=900, WindowWidth=700))
    save(out, "rescale-signed-window",
         film(signed=True, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=0, WindowWidth=4000))
    save(out, "rescale-one-of-two", film(RescaleSlope=2.0))
    curve = (np.linspace(0, 1, 4096) ** 0.5 * 65535).round()
    for vr in ("US", "OW"):
        save(out, f"modality-lut-{vr}", film(ModalityLUTSequence=lut(curve, 0, 16, vr)))
        save(out, f"voi-lut-{vr}", film(VOILUTSequence=lut(curve // 16, 0, 12, vr)))
    save(out, "voi-lut-implicit", film(VOILUTSequence=lut(curve // 16, 0, 12, "OW")), ImplicitVRLittleEndian)
    save(out, "modality-lut-window", film(ModalityLUTSequence=lut(curve, 0, 16), WindowCenter=30000, WindowWidth=20000))
    save(out, "modality-and-voi-lut", film(ModalityLUTSequence=lut(curve // 16, 0, 12),
                                           VOILUTSequence=lut(np.linspace(255, 0, 4096) // 1, 0, 8)))
    save(out, "voi-lut-short", film(VOILUTSequence=lut(np.linspace(0, 1023, 1000) // 1, 1500, 10)))
    save(out, "voi-lut-signed", film(signed=True, VOILUTSequence=lut(np.linspace(0, 65535, 4096) // 1, -2048, 16)))
    save(out, "voi-lut-65536", film(16, VOILUTSequence=lut(np.linspace(0, 65535, 65536) // 1, 0, 16, "OW")))
    save(out, "voi-lut-beats-window", film(VOILUTSequence=lut(curve, 0, 16), WindowCenter=100, WindowWidth=10))
    save(out, "padding", film(PixelPaddingValue=int(field(12)[FLAT, 20])))
    save(out, "padding-range-m1",
         film(photometric="MONOCHROME1", PixelPaddingValue=0, PixelPaddingRangeLimit=500))
    save(out, "inverse", film(PresentationLUTShape="INVERSE"))
    save(out, "inverse-m1", film(photometric="MONOCHROME1", PresentationLUTShape="INVERSE"))
    save(out, "ten-bits-in-sixteen", film(16, pixels=field(10)))
    dx = film(photometric="MONOCHROME1", PresentationLUTShape="INVERSE", WindowCenter=2000, WindowWidth=3000)
    dx.SOPClassUID = dx.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dx.Modality = "DX"
    save(out, "dx", dx)

    # Colour.
    secondary = {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}
    save(out, "rgb", film(8, 8, photometric="RGB", pixels=colour(), **secondary))
    save(out, "rgb-16", film(16, 16, photometric="RGB", pixels=colour(16), **secondary))
    save(out, "rgb-big", film(8, 8, photometric="RGB", pixels=colour(), **secondary), ExplicitVRBigEndian)
    ds = film(8, 8, photometric="RGB", pixels=colour(), **secondary)
    ds.PixelData = np.moveaxis(colour().astype(np.uint8), -1, 0).tobytes() + b"\0"
    ds.PlanarConfiguration = 1
    save(out, "rgb-planar", ds)
    save(out, "ybr-full", film(8, 8, photometric="YBR_FULL", pixels=ybr(colour()), **secondary))
    even = ybr(colour())[:, :300]
    ds = film(8, 8, photometric="YBR_FULL_422", pixels=even, **secondary)
    packed = np.stack([even[:, 0::2, 0], even[:, 1::2, 0], even[:, 0::2, 1], even[:, 0::2, 2]], -1).astype(np.uint8)
    ds.PixelData = packed.tobytes()
    save(out, "ybr-full-422", ds)
    for name, uid in (("rle", RLELossless), ("j2k", JPEG2000Lossless), ("jls", JPEGLSLossless)):
        ds = pydicom.dcmread(out / "rgb.dcm")
        compress(ds, uid, generate_instance_uid=False)
        ds.save_as(out / f"rgb-{name}.dcm")
    ds = pydicom.dcmread(out / "rgb.dcm")
    compress(ds, JPEG2000, j2k_cr=[6], generate_instance_uid=False)
    ds.save_as(out / "rgb-j2k-ict.dcm")
    source = out / "rgb.dcm"
    for interleave in ("l", "s", "n"):
        by_tool(out, f"rgb-dcmtk-jls-{interleave}", source, "dcmcjpls", "+el", f"+i{interleave}")
        by_tool(out, f"rgb-dcmtk-jlsnear-{interleave}", source, "dcmcjpls", "+en", f"+i{interleave}")
    by_tool(out, "rgb-dcmtk-baseline", source, "dcmcjpeg", "+eb", "+q", "95")
    by_tool(out, "rgb-dcmtk-baseline-444", source, "dcmcjpeg", "+eb", "+q", "95", "+s4")
    by_tool(out, "rgb-dcmtk-baseline-rgb", source, "dcmcjpeg", "+eb", "+q", "95", "+cr")
    by_tool(out, "rgb-dcmtk-lossless", source, "dcmcjpeg", "+el")
    by_tool(out, "rgb-dcmtk-sv1", source, "dcmcjpeg", "+e1")
    save(out, "palette-8", film(8, 8, photometric="PALETTE COLOR", **palette(8, 256), **secondary))
    save(out, "palette-16", film(8, 8, photometric="PALETTE COLOR", **palette(16, 256), **secondary))
    save(out, "palette-16-of-16", film(16, 16, photometric="PALETTE COLOR", **palette(16, 65536), **secondary))
    save(out, "palette-short", film(8, 8, photometric="PALETTE COLOR", **palette(16, 100, 50), **secondary))
    save(out, "palette-implicit",
         film(8, 8, photometric="PALETTE COLOR", **palette(16, 256), **secondary), ImplicitVRLittleEndian)
    ds = film(8, 8, photometric="PALETTE COLOR", **palette(16, 256), **secondary)
    segmented(ds, 256)
    save(out, "palette-segmented", ds)

    # Files that are out of shape.
    whole = (out / "native-12in16u-2-explicit.dcm").read_bytes()
    (out / "without-preamble.jpg").write_bytes(whole[128:])
    (out / "meta-alone-in-front.dcm").write_bytes(whole[132:])
    for form, syntax in (("implicit", ImplicitVRLittleEndian), ("explicit", ExplicitVRLittleEndian)):
        ds = film()
        del ds.file_meta
        pydicom.dcmwrite(out / f"bare-{form}.dcm", ds, little_endian=True,
                         implicit_vr=syntax == ImplicitVRLittleEndian)
    ds = film()
    ds.add_new((0x0009, 0x0010), "LO", "CHESTLIGHT TEST")
    item = Dataset()
    item.PatientID = "OTHER"
    ds.RequestAttributesSequence = Sequence([item])
    ds["RequestAttributesSequence"].is_undefined_length = True
    save(out, "sequence-undefined", ds)
    (out / "trailing-bytes.dcm").write_bytes(whole + b"\xfc\xff\xfc\xff\x04\0\0\0\0\0\0\0rubbish")

    # What must be refused.
    (out / "no-pixels-cut.dcm").write_bytes(whole[:-5000])
    (out / "no-header-cut.dcm").write_bytes(whole[:300])
    save(out, "no-ct", film(Modality="CT", SOPClassUID=CTImageStorage))
    save(out, "no-frames", film(NumberOfFrames=2, PixelData=film().PixelData * 2))
    ds = film()
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31
    ds.PixelData = np.zeros((HEIGHT, WIDTH), np.uint32).tobytes()
    save(out, "no-32-bits", ds)
    ds = film()
    del ds.PixelData
    save(out, "no-pixel-data", ds)


def fixtures(out):
    """A native film of each depth, and the same through each codec."""
    global HEIGHT, WIDTH, FLAT
    HEIGHT, WIDTH, FLAT = 37, 52, 12

    def compressed(name, source, uid, **options):
        ds = pydicom.dcmread(out / f"{source}.dcm")
        compress(ds, uid, generate_instance_uid=False, **options)
        ds.save_as(out / f"{source}-{name}.dcm")

    secondary = {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}
    save(out, "8", film(8, 8))
    save(out, "12", film(12))
    save(out, "12s", film(12, signed=True))
    save(out, "16", film(16))
    save(out, "rgb", film(8, 8, photometric="RGB", pixels=colour(), **secondary))
    for source in ("8", "12", "12s", "16", "rgb"):
        compressed("rle", source, RLELossless)
        compressed("j2k", source, JPEG2000Lossless)
        if source != "rgb":
            compressed("jls", source, JPEGLSLossless)
    for source in ("8", "12"):
        compressed("j2k-lossy", source, JPEG2000, j2k_cr=[4])
        compressed("jls-near", source, JPEGLSNearLossless, jls_error=2)
    compressed("j2k-lossy", "rgb", JPEG2000, j2k_cr=[4])
    for source in ("8", "12", "16"):
        path = out / f"{source}.dcm"
        by_tool(out, f"{source}-jpeg-sv1", path, "dcmcjpeg", "+tl", "+e1")
        for predictor in (4, 7) if source != "12" else range(2, 8):
            by_tool(out, f"{source}-jpeg-predictor-{predictor}", path, "dcmcjpeg", "+tl", "+el", "+sv", str(predictor))
    by_tool(out, "12-jpeg-point-2", out / "12.dcm", "dcmcjpeg", "+tl", "+el", "+pt", "2")
    by_tool(out, "12-jls-fragments", out / "12.dcm", "dcmcjpls", "+fs", "1")
    by_tool(out, "12-jpeg-extended", out / "12.dcm", "dcmcjpeg", "+ee", "+q", "100")
    by_tool(out, "8-jpeg-extended", out / "8.dcm", "dcmcjpeg", "+ee", "+q", "100")
    by_tool(out, "8-jpeg-baseline", out / "8.dcm", "dcmcjpeg", "+eb", "+q", "100")
    by_tool(out, "8-jpeg-progressive", out / "8.dcm", "dcmcjpeg", "+ep", "+q", "100")
    for interleave in ("l", "s", "n"):
        by_tool(out, f"rgb-jls-{interleave}", out / "rgb.dcm", "dcmcjpls", "+el", f"+i{interleave}")
    by_tool(out, "rgb-jls-near", out / "rgb.dcm", "dcmcjpls", "+en", "+is")
    by_tool(out, "rgb-jpeg-sv1", out / "rgb.dcm", "dcmcjpeg", "+tl", "+e1")
    by_tool(out, "rgb-jpeg-baseline", out / "rgb.dcm", "dcmcjpeg", "+eb", "+q", "100", "+s4")
    by_tool(out, "rgb-jpeg-baseline-422", out / "rgb.dcm", "dcmcjpeg", "+eb", "+q", "100", "+s2")
    by_tool(out, "rgb-jpeg-baseline-rgb", out / "rgb.dcm", "dcmcjpeg", "+eb", "+q", "100", "+cr")


if sys.argv[1] == "--fixtures":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    fixtures(Path(sys.argv[2]))
else:
    main()
