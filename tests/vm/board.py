"""The virtual board: QEMU, a hand inside it (guest/agent) and its monitor."""

import base64
import json
import os
import signal
import socket
import subprocess
import time


class Board:
    """One boot of the board. `work` holds the image, `state` is the disc that outlives a power cut."""

    def __init__(self, work, share, state, log):
        self.work, self.state = work, state
        self.agent_path, self.monitor_path = f"{work}/agent.sock", f"{work}/monitor.sock"
        for path in (self.agent_path, self.monitor_path):
            if os.path.exists(path):
                os.unlink(path)
        self.began = time.monotonic()
        self.qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
             "-m", "1024", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
             "-kernel", f"{work}/vmlinuz", "-initrd", f"{work}/initrd", "-append",
             "console=ttyS0 root=/dev/vda quiet mitigations=off tsc=reliable no_timer_check vt.global_cursor_default=0",
             "-serial", f"file:{log}",
             "-drive", f"file={work}/board.qcow2,format=qcow2,if=virtio,cache=writeback",
             "-drive", f"file={state},format=raw,if=virtio,cache=writeback",
             "-fsdev", f"local,id=host,path={share},security_model=none,readonly=on",
             "-device", "virtio-9p-pci,fsdev=host,mount_tag=host", "-device", "virtio-vga",
             "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self.agent_path},server=on,wait=off",
             "-device", "virtserialport,chardev=agent,name=agent",
             "-qmp", f"unix:{self.monitor_path},server=on,wait=off"])
        self.agent = self._connect(self.agent_path).makefile("rwb")

    def _connect(self, path):
        while True:
            if self.qemu.poll() is not None:
                raise RuntimeError(f"QEMU ended with {self.qemu.returncode}")
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.connect(path)
                connection.settimeout(300)
                return connection
            except OSError:
                time.sleep(0.1)

    def wait_until_up(self):
        """Seconds from power on to the agent's first word."""
        while b"ready" not in self.agent.readline():
            pass
        self("mount -t 9p -o trans=virtio,version=9p2000.L,ro host /host")
        return time.monotonic() - self.began

    def __call__(self, script):
        """Runs `script` as root in the guest: its exit status and what it said."""
        self.agent.write(base64.b64encode(script.encode()) + b"\n")
        self.agent.flush()
        while True:
            answer = self.agent.readline().split()
            if not answer:
                raise RuntimeError("the board fell silent")
            if answer != [b"ready"]:
                return int(answer[0]), base64.b64decode(answer[1] if len(answer) > 1 else b"").decode(errors="replace")

    def until(self, script, seconds):
        """Runs `script` until it succeeds, for `seconds` of the host at most: a loaded host bends the guest's clock."""
        deadline = time.monotonic() + seconds
        while (answer := self(script))[0] != 0 and time.monotonic() < deadline:
            time.sleep(0.2)
        return answer

    def screen(self, path):
        """Writes what the screen shows to `path` as a PPM."""
        connection = self._connect(self.monitor_path).makefile("rw")
        connection.readline()
        for order in ({"execute": "qmp_capabilities"}, {"execute": "screendump", "arguments": {"filename": path}}):
            connection.write(json.dumps(order) + "\n")
            connection.flush()
            while not any(key in (answer := json.loads(connection.readline())) for key in ("return", "error")):
                pass
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])

    def cut_power(self):
        """Nothing of the guest is flushed: what its kernel has not given to the disc is lost."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
