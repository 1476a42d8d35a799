"""Promises of the package and of its service."""

import json

from outcomes import Skipped
from unit import CONFIG, FOLDER, INBOX, SHARED


def install(unit):
    unit.must("DEBIAN_FRONTEND=noninteractive dpkg -i /host/chestlight.deb")
    unit.until("systemctl is-active chestlight", 120)
    return unit.must("echo $(chestlight --version; systemctl show -p Type,User,WatchdogUSec chestlight)")


def folder_to_journal(unit):
    row = unit.read("first.png")
    return f"reading {row['seq']}, {row['verdict']}"


def fields(unit):
    """The system's log has each reading's fields, as the unit's journal has them, and nothing of the film's name."""
    row = unit.read("mary-smith.png")
    log = unit.must("journalctl -b -o json --no-pager --output-fields=MESSAGE,PRIORITY,CHESTLIGHT_READING,"
                    "CHESTLIGHT_VERDICT,CHESTLIGHT_FILM,CHESTLIGHT_REASON CHESTLIGHT_READING=" + str(row["seq"]))
    told = json.loads(log.splitlines()[0])
    wanted = {"PRIORITY": "5", "CHESTLIGHT_VERDICT": row["verdict"], "CHESTLIGHT_FILM": row["input_digest"][:8]}
    if any(told.get(field) != value for field, value in wanted.items()):
        raise AssertionError(f"{wanted}: {log}")
    places = unit.must("journalctl -b -u chestlight -o json --no-pager | grep -c '\"CODE_LINE\"'")
    everything = "journalctl -b -o export --no-pager"
    unit.must(f"{everything} | grep -q CHESTLIGHT_VERDICT && ! {everything} | grep -i smith")
    return f"{', '.join(wanted)} of reading {row['seq']}; {places} lines with their place; the film's name is nowhere in the log"


def status(unit):
    """What the unit says of itself over its socket, and what its disc says when it does not run."""
    ask = f"chestlight status --json --config {CONFIG}"
    code, told = unit.board(f"systemctl stop chestlight; {ask} 2> /dev/null")
    if code != 3 or json.loads(told)["running"]:
        raise AssertionError(f"of a unit that was stopped: {code}, {told}")
    before = len(unit.readings())
    for number in range(4):
        unit.put(f"waiting-{number}.png")
    unit.must("systemctl start chestlight")
    waiting = unit.wait(60, "films wait", lambda vitals: vitals["waiting"])["waiting"]
    vitals = unit.wait(180, "they are read", lambda vitals: (vitals["last_reading"] or {"seq": 0})["seq"] >= before + 4)
    rows = unit.readings()
    if vitals["last_reading"]["verdict"] != rows[-1]["verdict"] or vitals["model"]["digest"] != rows[-1]["model"]["digest"]:
        raise AssertionError(f"{vitals}, and the journal's last row: {rows[-1]}")
    board = {"celsius": "cat /sys/class/thermal/thermal_zone*/temp", "battery_percent": "cat /sys/class/power_supply/*/capacity"}
    board = {name: unit.must(f"{look} 2> /dev/null || :") for name, look in board.items()}
    found = {"celsius": board["celsius"] and max(map(int, board["celsius"].split())) / 1000,
             "battery_percent": board["battery_percent"] and int(board["battery_percent"].split()[0])}
    if any((vitals[name] or "") != value for name, value in found.items()):
        raise AssertionError(f"{vitals}, and the board: {found}")
    free = int(unit.must(f"stat -f -c '%a * %S' {FOLDER} | sed 's/.*/echo $((&))/' | sh"))
    if abs(vitals["disc"]["free_bytes"] - free) > 1 << 24:
        raise AssertionError(f"{vitals['disc']}, and {free} bytes are free")
    if unit.board(f"runuser -u nobody -- {ask}")[0] != 3:
        raise AssertionError("another user is told")
    return (f"films waited ({waiting}), last reading {vitals['last_reading']['seq']}, {vitals['celsius']} degrees, battery "
            f"{vitals['battery_percent']}%, disc, model, clock; stopped: exit code 3; to another user: nothing")


def exposure(unit):
    told = unit.must("systemd-analyze security chestlight --no-pager | tail -n 1")
    figure = next(float(word) for word in told.split() if word.replace(".", "").isdigit())
    if figure > 2.0:
        raise AssertionError(told)
    return f"exposure {figure}"


def own_partition(unit):
    """The package's mount unit checks and mounts the unit's partition. From the next boot on the root is read-only."""
    unit.must(f"systemctl stop chestlight && umount {FOLDER} && e2label /dev/vdb chestlight && "
              f"sed -i -e '/LABEL=state/d' -e 's/defaults/ro/' /etc/fstab && cp {SHARED}/{MOUNT} /etc/systemd/system/ && "
              f"systemctl daemon-reload && systemctl -q enable {MOUNT} && udevadm trigger --settle /dev/vdb")
    unit.must("systemctl start chestlight")
    row = unit.read("own-partition.png")
    unit.must("systemctl is-active 'systemd-fsck@dev-disk-by\\x2dlabel-chestlight.service'")
    options = unit.must(f"findmnt -n -o OPTIONS {FOLDER}").split(",")
    if missing := {"nodev", "nosuid", "noexec", "noatime", "errors=remount-ro"} - set(options):
        raise AssertionError(f"not mounted {missing}: {options}")
    return f"checked, mounted {','.join(options)}; row {row['seq']}"


def read_only(unit):
    """Nothing but the unit's partition need be writable."""
    unit.must("! touch /etc/written 2> /dev/null && findmnt -n -o OPTIONS / | grep -w ro")
    row = unit.read("read-only.png")
    return f"row {row['seq']}; {unit.verify()}"


def hang(unit):
    """A process that stands still is ended by systemd's watchdog, and the unit comes back."""
    if "WatchdogUSec=0" in unit.must("systemctl show -p WatchdogUSec chestlight"):
        raise Skipped("the unit has no watchdog")
    # The board's own 90 seconds are shortened, so that the run need not wait for them.
    unit.drop_in("hang", "WatchdogSec=30\nTimeoutAbortSec=2")
    unit.must("systemctl restart chestlight && kill -STOP $(systemctl show -p MainPID --value chestlight)")
    unit.until("journalctl -b -u chestlight --no-pager | grep 'Watchdog timeout'", 90)
    unit.until("[ $(systemctl show -p NRestarts --value chestlight) -ge 1 ] && systemctl is-active chestlight", 90)
    unit.read("after-hang.png")
    unit.drop_in("hang", None)
    return "ended, restarted, and read the next film"


def full(unit):
    unit.must(f"fallocate -l $(($(stat -f -c '%a * %S' {FOLDER}) - 8388608)) {FOLDER}/full")
    unit.put("full.png")
    unit.until("journalctl -b -u chestlight --no-pager | grep 'the disc of the state folder is full'", 60)
    unit.must(f"rm {FOLDER}/full && ls {INBOX}/full.png")
    unit.row_of("full.png")
    return "a fault was told, the film waited in the inbox and was read when there was room"


def clock(unit):
    """Who may vouch for the clock: the board's own battery, a person, and the kernel in a time service's name."""
    trusted = lambda yes: unit.wait(60, f"trusted: {yes}", lambda vitals: vitals["clock_trusted"] == yes)
    withdraw = "rm -r /run/chestlight-clock"
    trusted(False)
    row = unit.read("clock-before.png")
    unit.must(f"cp {SHARED}/trusted-rtc.conf /etc/tmpfiles.d/ && systemd-tmpfiles --create trusted-rtc.conf")
    trusted(True)
    unit.must(f"{withdraw} /etc/tmpfiles.d/trusted-rtc.conf")
    trusted(False)
    # An hour off, so that it is seen in the board's own clock.
    set_to = lambda seconds: f"chestlight clock set \"$(date -u -d '{seconds} sec' '+%Y-%m-%d %H:%M')\""
    unit.must(set_to(3600))
    trusted(True)
    apart = unit.must("cat /sys/class/rtc/rtc0/since_epoch && date +%s").split()
    if abs(int(apart[0]) - int(apart[1])) > 5:
        raise AssertionError(f"the board's own clock and the system's: {apart}")
    unit.must(f"{set_to(-3600)}; {withdraw}")
    trusted(False)
    unit.must(KEPT_BY_A_SERVICE)
    trusted(True)
    later = unit.read("clock-after.png")
    if row["clock_trusted"] or not later["clock_trusted"]:
        raise AssertionError(f"rows {row['seq']} and {later['seq']} say otherwise")
    return f"by battery, by a person, by the kernel's word, and by nobody without them; /dev/rtc0 was set; rows {row['seq']} and {later['seq']} say so"


MOUNT = "var-lib-chestlight.mount"

# What a time service tells the kernel, adjtimex(2): ADJ_STATUS and ADJ_MAXERROR, synchronized, at most a millisecond off.
KEPT_BY_A_SERVICE = r"""perl -e '
$call = `uname -m` eq "x86_64\n" ? 159 : 171;
$timex = pack("Lx4 q4 l x164", 0x14, 0, 0, 1000, 0, 0);
exit(syscall($call, $timex) < 0)'"""


def clock_back(unit):
    unit.must("date -s '2001-01-01 00:00:00'")
    unit.read("clock-back.png")
    return unit.verify()


def purge(unit):
    films = f"find {FOLDER}/state/archive -type f ! -name '*.heatmap.png' | wc -l"
    before = unit.must(f"systemctl stop chestlight; {films}")
    unit.must(f"mount -o remount,rw /; systemctl -q disable {MOUNT}; rm -f /etc/systemd/system/{MOUNT} {CONFIG}.shipped; DEBIAN_FRONTEND=noninteractive dpkg --purge chestlight")
    left = unit.must("find /etc /usr /run -name '*chestlight*' ! -path '/run/systemd/*' ! -path '/run/udev/*'")
    after = unit.must(films)
    if left or before != after:
        raise AssertionError(f"left: {left}; films before {before}, after {after}")
    return f"nothing left but {after} films and the journal"
