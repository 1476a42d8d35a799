"""Promises of the USB stick: a FAT file system on a stick of the emulator, plugged in and pulled while the unit runs."""

import subprocess
import time
from contextlib import contextmanager

from unit import SHARED

MOUNTED = "/run/chestlight-stick"
RESULTS = f"{MOUNTED}/chestlight-results"


class Stick:
    """A stick that is plugged into the board of a unit and pulled out of it."""

    def __init__(self, unit, folder):
        self.unit, self.image = unit, folder / "stick.img"

    def make(self, films):
        """A new stick labelled CHESTLIGHT with films in inbox/, named as they are called there."""
        self.image.unlink(missing_ok=True)
        subprocess.run(["truncate", "-s", "64M", self.image], check=True)
        subprocess.run(["mkfs.vfat", "-n", "CHESTLIGHT", self.image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mmd", "-i", self.image, "::inbox"], check=True)
        for name, film in films.items():
            subprocess.run(["mcopy", "-i", self.image, film, f"::inbox/{name}"], check=True)

    @contextmanager
    def plugged_in(self):
        """The time from when it is mounted until it is pulled, whoever reads or writes it."""
        file = {"driver": "file", "filename": str(self.image)}
        self.unit.board.order("blockdev-add", **{"driver": "raw", "node-name": "stick", "file": file})
        self.unit.board.order("device_add", driver="usb-storage", id="stick", drive="stick", bus="usb.0", removable=True)
        try:
            self.unit.until(f"mountpoint -q {MOUNTED}", 60)
            yield
        finally:
            self._pull()

    def _pull(self):
        self.unit.board.order("device_del", id="stick")
        deadline = time.monotonic() + 30
        while True:
            try:
                self.unit.board.order("blockdev-del", **{"node-name": "stick"})
                break
            except RuntimeError:  # the guest has not let go of it yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        self.unit.until(f"! mountpoint -q {MOUNTED}", 60)


def served(unit, folder, film):
    """Films come from it, results go onto it whole; pulled and put in again it still has them."""
    unit.must(f"cp {SHARED}/61-chestlight-stick.rules /etc/udev/rules.d/ && "
              f"cp {SHARED}/run-chestlight*stick.mount /etc/systemd/system/ && "
              f"mkdir -p /etc/systemd/system/chestlight.service.d && "
              f"cp {SHARED}/stick.conf /etc/systemd/system/chestlight.service.d/ && "
              "systemctl daemon-reload && udevadm control --reload")
    unit.configure(f'[stick]\nfolder = "{MOUNTED}"')
    unit.until("systemctl is-active chestlight", 120)
    stick = Stick(unit, folder)
    another = folder / "another.png"
    another.write_bytes(film.read_bytes() + b"another")
    stick.make({"jane doe.png": another})
    with stick.plugged_in():
        row = unit.row_of("jane")
        unit.until(f"ls {RESULTS}/*/SHA256SUMS", 120)
    # What is on the stick itself, and not in the guest's memory.
    with stick.plugged_in():
        told = unit.must(f"cd {RESULTS}/* && sha256sum --check --strict SHA256SUMS && ls '{MOUNTED}/inbox/jane doe.png'")
        if "jane" in unit.must(f"cat {RESULTS}/*/readings.*"):
            raise AssertionError("the results name the film")
    return f"row {row['seq']}, {row['verdict']}; {told.count(': OK')} files of results are whole, without the film's name"


def pulled(unit, folder, film):
    """Pulled while its films are being read, it is told; put in again, it is served to its end."""
    stick = Stick(unit, folder)
    films = {}
    for number in range(4):
        path = folder / f"pulled-{number}.png"
        path.write_bytes(film.read_bytes() + str(number).encode())
        films[path.name] = path
    stick.make(films)
    with stick.plugged_in():
        unit.until("journalctl -b -u chestlight --no-pager | grep '4 films were taken from a stick'", 120)
    is_told = lambda vitals: [warning["wrong"] for warning in vitals["warnings"] if "pulled" in warning["wrong"]]
    unit.wait(60, "it is told", is_told)
    unit.read("without-stick.png")
    told = is_told(unit.vitals())
    with stick.plugged_in():
        unit.until(f"ls {RESULTS}/*/SHA256SUMS", 180)
        unit.wait(60, "it is not told any more", lambda vitals: not is_told(vitals))
    rows = [row for row in unit.readings() if row["file"].startswith("pulled-")]
    if len(rows) != len(films):
        raise AssertionError(f"{len(rows)} rows of {len(films)} films")
    return f"told, and still so when another film was read: {told[0]}; all {len(rows)} films have one row and the results are whole"


def put_away(unit):
    """Takes away what `served` has brought into the system, and all parts."""
    unit.must("rm /etc/udev/rules.d/61-chestlight-stick.rules /etc/systemd/system/run-chestlight*stick.mount && "
              f"rm -r /etc/systemd/system/chestlight.service.d && rmdir {MOUNTED} && "
              "systemctl daemon-reload && udevadm control --reload")
    unit.configure("")
    unit.must("sync")
    return f"row {unit.read('without-parts.png')['seq']}"
