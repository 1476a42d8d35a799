"""What stands ready before a board starts: the image, the discs, and the folder that the host shares with the guest."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def image(architecture):
    """The folder of the image for this architecture of Debian's (in WORK, or /var/tmp/chestlight-vm), built where it is missing."""
    work = Path(os.environ.get("WORK", "/var/tmp/chestlight-vm"))
    folder = work / architecture
    if not (folder / "root.img").exists():
        subprocess.run([HERE / "image", architecture], env={**os.environ, "WORK": str(work)}, check=True)
    return folder


def discs(folder, package, films, size):
    """An empty disc for the unit's folder, and a share with the package, the films and the guest's scripts."""
    shutil.rmtree(folder, ignore_errors=True)
    share = folder / "share"
    share.mkdir(parents=True)
    shutil.copy(package, share / "chestlight.deb")
    for name, film in films.items():
        shutil.copy(film, share / name)
    for script in ("load", "panel", "watch-lamps"):
        shutil.copy(HERE / "guest" / script, share)
    subprocess.run(["truncate", "-s", size, folder / "state.img"], check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "state", folder / "state.img"], check=True)
    return share
