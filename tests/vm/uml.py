"""A board by User-Mode Linux: the kernel as a program, without emulation; the unit without systemd and without parts."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress

from guest import Guest


class UserModeLinux(Guest):
    """One boot. FOLDER/root.cow is what differs from the image's root; it and state.img outlive a power cut."""

    def __init__(self, image, folder):
        self.share = f"mount -t hostfs -o {folder}/share none /host"
        ours, theirs = socket.socketpair()
        ours.settimeout(300)
        port = theirs.fileno()
        self.began = time.monotonic()
        with open(f"{folder}/console.log", "wb") as log:
            self.kernel = subprocess.Popen(
                ["linux.uml", "umid=board", f"uml_dir={folder}/", "mem=768M",
                 f"ubd0={folder}/root.cow,{image}/root.img", f"ubd1={folder}/state.img", "root=/dev/ubda", "rw", "quiet", "con=null", "con0=null,fd:1", "ssl=null", f"ssl0=fd:{port}",
                 "init=/usr/local/sbin/board-init", "agent=/dev/ttyS0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[port], start_new_session=True,
                env={**os.environ, "TMPDIR": "/dev/shm"})
        theirs.close()
        self.agent = ours.makefile("rwb")

    def cut_power(self):
        """Nothing of the guest is flushed: what its kernel has not given to the disc is lost."""
        # The guest's processes are the kernel's children on the host, all of one session.
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self.kernel.pid, signal.SIGKILL)
        self.kernel.wait()
