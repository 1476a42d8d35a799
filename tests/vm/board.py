"""A board that QEMU emulates, with the emulator's monitor."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import sensors
from guest import Guest


class Board(Guest):
    """One boot of a board. `command` starts QEMU and gives the chardev `agent` to a port of the board.
    Sockets lie in `folder`."""

    share = "mount -t 9p -o trans=virtio,version=9p2000.L,ro host /host"

    def __init__(self, folder, command):
        agent, monitor = f"{folder}/agent.sock", f"{folder}/monitor.sock"
        for path in (agent, monitor):
            if os.path.exists(path):
                os.unlink(path)
        self.began = time.monotonic()
        self.qemu = subprocess.Popen([
            *command, "-no-user-config", "-no-reboot", "-display", "none",
            "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
            "-qmp", f"unix:{monitor},server=on,wait=off"])
        self.agent = self._connect(agent).makefile("rwb")
        self.monitor = self._connect(monitor).makefile("rw")
        self.monitor.readline()
        self.order("qmp_capabilities")

    def _connect(self, path):
        while True:
            if self.qemu.poll() is not None:
                raise RuntimeError(f"QEMU ended with {self.qemu.returncode}")
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(path)
                connection.settimeout(900)
                return connection
            except OSError:
                time.sleep(0.1)

    def order(self, command, **arguments):
        """Has the monitor do something, and returns its answer."""
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def wait_for(self, event):
        """Waits until the monitor tells of this event; those that came while it was given orders count for nothing."""
        while json.loads(self.monitor.readline()).get("event") != event:
            pass

    def screen(self, path):
        """Writes what the screen shows to `path` as a PPM."""
        self.order("screendump", filename=path)

    def cut_power(self):
        """Nothing of the guest is flushed: what its kernel has not given to the disc is lost."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()


# By Debian's names of the architectures: the emulator with its machine, the screen's card, and what the kernel is told.
MACHINES = {
    "amd64": (["qemu-system-x86_64", "-machine", "q35", "-cpu", "max"], "virtio-vga",
              "console=ttyS0 clocksource=hpet no_timer_check"),
    # The processor of the Raspberry Pi 5; that of the Jetson Orin is its sister.
    "arm64": (["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a76"], "virtio-gpu-pci", "console=ttyAMA0"),
}


def machine(architecture, image, folder):
    """The command of a board with a screen and USB: kernel from `image`; discs, share and console.log in `folder`."""
    emulator, screen, told = MACHINES[architecture]
    if architecture == "amd64":
        table = Path(folder, "sensors.aml")
        table.write_bytes(sensors.table())
        emulator = [*emulator, "-acpitable", f"sig=SSDT,rev=2,data={table}"]
    return [
        *emulator, "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024",
        "-nodefaults", "-kernel", f"{image}/vmlinuz", "-initrd", f"{image}/initrd", "-append",
        f"{told} root=/dev/vda quiet mitigations=off vt.global_cursor_default=0 agent=/dev/virtio-ports/agent",
        "-serial", f"file:{folder}/console.log",
        "-drive", f"file={folder}/root.img,format=raw,if=virtio,cache=writeback",
        "-drive", f"file={folder}/state.img,format=raw,if=virtio,cache=writeback",
        "-fsdev", f"local,id=host,path={folder}/share,security_model=none,readonly=on",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        "-device", f"{screen},xres=800,yres=480", "-device", "qemu-xhci,id=usb",
        "-device", "i6300esb", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent"]
