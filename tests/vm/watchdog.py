"""Promises of the board's hardware watchdog, which PID 1 feeds: a board that hangs starts again, and has lost nothing."""

import time

import power
from unit import SHARED

SETTINGS = "/etc/systemd/system.conf.d/watchdog.conf"
FED = "systemctl show -p RuntimeWatchdogUSec --value | grep -x 15s && grep -x active /sys/class/watchdog/watchdog0/state"

HANGS = {
    "PID 1": "echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze",
    # It says that it has panicked, and stays so.
    "the kernel": "echo 0 > /proc/sys/kernel/panic; (sleep 1; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &",
}


def fed(unit):
    """With what the package brings, PID 1 opens the watchdog and feeds it."""
    unit.must(f"mkdir -p {SETTINGS.rsplit('/', 1)[0]} && cp {SHARED}/watchdog.conf {SETTINGS} && sync && systemctl daemon-reexec")
    unit.until(FED, 60)
    return unit.must("cat /sys/class/watchdog/watchdog0/identity") + ", 15 s"


def bites(unit, console, hang):
    """Under load PID 1 or the kernel hangs; the watchdog resets the board, and it is fed again from the start."""
    power.load(unit, console, f"-{hang.replace(' ', '')}-", 5)
    # Else QEMU ends where a board starts again.
    unit.board.order("set-action", reboot="reset")
    unit.must(HANGS[hang])
    began = time.monotonic()
    unit.board.wait_for("WATCHDOG")
    bitten = time.monotonic() - began
    before = power.said(console)
    unit.board.wait_until_up()
    unit.board.order("set-action", reboot="shutdown")
    told = power.compare(unit, before)
    unit.until(FED, 60)
    row = unit.read(f"after-{hang.split()[-1]}.png")
    return f"reset after {bitten:.0f} s, fed again; {told}; then row {row['seq']}"


def put_away(unit):
    unit.must(f"mount -o remount,rw / && rm {SETTINGS} && mount -o remount,ro / && systemctl daemon-reexec")
    unit.until("! grep -x active /sys/class/watchdog/watchdog0/state", 60)
    return "it rests"
