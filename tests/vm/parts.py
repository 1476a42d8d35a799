"""Promises that need the board's parts: lamps and a button by gpio-sim, a camera by vivid, a screen by virtio-gpu."""

import base64
import time
from pathlib import Path

import lamps
import picture
from shown import SHOWN
from unit import FOLDER

PARTS = """
[lamps]
green = { chip = "panel", line = "GREEN" }
yellow = { chip = "panel", line = "YELLOW" }
red = { chip = "panel", line = "RED" }

[screen]

[camera]
device = "vivid-000-vid-cap"
max_megapixels = 1
settle_frames = 2
button = { chip = "panel", line = "BUTTON" }
"""


# What `chestlight screens` draws beside a plate: the bars of the classes, their track, and the ground.
BARS = {name: SHOWN[verdict].plate for name, verdict in
        (("normal", "Normal"), ("bacterial", "BacterialPneumonia"), ("covid19", "Covid19Pneumonia"))}
TRACK, GROUND = (27, 34, 43), (10, 14, 19)


def over_film(sheet):
    """The second of the two films on a sheet of the archive: that under its heat map."""
    edge, head, foot, scale = 24, 64, 52, 22 + 96
    width = (len(sheet[0]) - 4 * edge - scale) // 2
    return [row[2 * edge + width:][:width] for row in sheet[head:-foot]]


class Parts:
    """The parts of a unit's board; pictures of its screen are kept in `folder`."""

    def __init__(self, unit, folder):
        self.unit, self.folder = unit, folder
        self.card = None

    def plug_in(self):
        """The kernel gets the parts and the unit is told of them."""
        self.unit.must("bash /host/panel && modprobe vivid n_devs=1 node_types=0x1 && ls /dev/fb0")
        self.unit.configure(PARTS)
        vitals = self.unit.wait(90, "every part works", works)
        self.unit.must("chestlight screens --size 800x480 /tmp/screens")
        self.card = lamps.patterns(self.unit.must("chestlight lamps card"))
        return ", ".join(part["name"] for part in [*vitals["displays"], vitals["camera"]])

    def lamps_tell(self, words):
        """Waits until the lamps do what the card says of `words`, as seen in the simulated pins."""
        for _ in range(8):
            seen, share = lamps.told(self._samples(4), self.card)
            if seen == words and share > 0.9:
                return f"lamps: {words} ({share:.0%} of 4 s)"
        raise AssertionError(f"the lamps tell {seen} ({share:.0%}), not {words}")

    def _samples(self, seconds):
        lines = [line.split() for line in self.unit.must(f"bash /host/watch-lamps {seconds}").splitlines()]
        changes = [(int(micros) / 1e6, levels) for micros, levels in lines]
        samples = []
        for (begun, levels), (until, _) in zip(changes, changes[1:]):
            lit = {lamp: level == "1" for lamp, level in zip(lamps.LAMPS, levels)}
            samples += [(begun + step * 0.02, lit) for step in range(round((until - begun) / 0.02))]
        return samples

    def screen_shows(self, name, colour, cut=picture.plate):
        """Waits until the plate of this colour is, pixel by pixel, that of `chestlight screens`."""
        drawn, seen = self.folder / f"{name}.png", self.folder / f"{name}.ppm"
        drawn.write_bytes(base64.b64decode(self.unit.must(f"base64 -w 0 /tmp/screens/{name}.png")))
        wanted = cut(picture.png(drawn), colour)
        deadline = time.monotonic() + 60
        while True:
            self.unit.board.screen(str(seen))
            found = cut(picture.ppm(seen), colour)
            if found == wanted:
                return f"screen: all {len(wanted) * len(wanted[0])} pixels of the plate {name}"
            if time.monotonic() > deadline:
                raise AssertionError(f"the plate in {seen} is not that of {drawn}")
            time.sleep(0.5)

    def ready(self):
        return self.lamps_tell("ready")

    def film(self, film):
        """A film in the folder is a row, and then lamps and screen say what the row says."""
        row = self.unit.read(f"shown-{film}", film)
        shown = SHOWN[row["verdict"]]
        told = f"{self.lamps_tell(shown.words)}; {self.screen_shows(shown.screen, shown.plate)}"
        return f"row {row['seq']}, {row['verdict']}; {told}, {self.beside_plate(row)}"

    def beside_plate(self, row):
        """The bars are as long as the row's probabilities, and the film is that of its heat map in the archive."""
        shown = SHOWN[row["verdict"]]
        seen = picture.ppm(self.folder / f"{shown.screen}.ppm")
        _, bottom, left, right = picture.plate_at(seen, shown.plate)
        bars = picture.bars([line[left:right] for line in seen[bottom:]], BARS.values(), TRACK, GROUND)
        whole = max(length for *_, length in bars)
        for (name, colour), (filled, thick, _) in zip(BARS.items(), bars):
            wanted = max(round(row["probabilities"][name] * whole), thick)
            if abs(filled - wanted) > 1:
                raise AssertionError(f"the bar {name} has {filled} of {whole} pixels, not {wanted}")
        sheet = self.folder / "heatmap.png"
        archived = f"{FOLDER}/state/archive/{row['seq']:06}-*.heatmap.png"
        self.unit.until(f"ls {archived}", 60)
        sheet.write_bytes(base64.b64decode(self.unit.must(f"base64 -w 0 {archived}")))
        film = picture.box(seen, GROUND, 0, left)
        wanted = picture.smaller(over_film(picture.png(sheet)), len(film[0]), len(film))
        if film != wanted:
            raise AssertionError(f"the film in {shown.screen}.ppm is not that of {sheet}")
        return f"bars to 1 of {whole} pixels, all {len(film) * len(film[0])} pixels of the film under its heat map"

    def button(self):
        """A press takes a film of the camera."""
        before = len(self.unit.readings())
        self.unit.must("echo pull-up > /run/panel/sim_gpio3/pull; sleep 0.3; echo pull-down > /run/panel/sim_gpio3/pull")
        row = self.unit.row_of('"camera.png"')
        added = len(self.unit.readings()) - before
        if added != 1:
            raise AssertionError(f"{added} films of one press")
        return f"row {row['seq']} of camera.png: {row['verdict']} ({row['reason']})"

    def camera_pulled(self):
        """Its driver is taken away: a fault on the lamps, films in the folder are read, and it is taken up again."""
        self.unit.must("echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind")
        told = self.unit.wait(60, "a fault is told", lambda vitals: vitals["faults"])["faults"][0]["wrong"]
        seen = self.lamps_tell("fault")
        row = self.unit.read("without-camera.png")
        self.unit.must("echo vivid.0 > /sys/bus/platform/drivers/vivid/bind")
        self.unit.wait(90, "the camera is back", works)
        return f"told: {told}; {seen}; row {row['seq']} meanwhile; taken up again"

    def screen_pulled(self):
        """The same of the screen, which shows what is to be seen when it is back."""
        driver = "/sys/bus/virtio/drivers/virtio_gpu"
        device = self.unit.must(f"cd {driver} && echo virtio[0-9]*")
        self.unit.must(f"echo {device} > {driver}/unbind")
        wrong = lambda vitals: [part["wrong"] for part in vitals["displays"] if part["wrong"]]
        told = wrong(self.unit.wait(60, "its loss is told", wrong))[0]
        row = self.unit.read("without-screen.png")
        self.unit.must(f"echo {device} > {driver}/bind")
        self.unit.wait(90, "the screen is back", works)
        shown = SHOWN[row["verdict"]]
        return f"told: {told}; row {row['seq']} meanwhile; {self.screen_shows(shown.screen, shown.plate)}"

    def killed(self):
        """A unit that was killed cannot say so: what comes after it does, until it is back. One that is stopped need not."""
        self.unit.must("systemctl stop chestlight")
        stopped = self.lamps_tell("switched off, or fault")
        self.unit.must("systemctl start chestlight")
        self.unit.drop_in("killed", "RestartSec=60")
        self.unit.must("systemctl kill -s KILL chestlight")
        shown = self.screen_shows("fault", SHOWN["Fault"].plate)
        seen = self.lamps_tell("fault")
        self.unit.drop_in("killed", None)
        self.unit.must("systemctl restart chestlight")
        return f"stopped: {stopped}; killed: {seen}, {shown}; back: {self.lamps_tell('ready')}"


def works(vitals):
    """Nothing is wrong with any part."""
    parts = [*vitals["displays"], vitals["camera"] or {"wrong": "none"}]
    return not vitals["faults"] and not any(part["wrong"] for part in parts)
