"""Promises of the package and of its service."""

from outcomes import Skipped
from unit import CONFIG, FOLDER, INBOX


def install(unit):
    unit.must("DEBIAN_FRONTEND=noninteractive dpkg -i /host/chestlight.deb")
    unit.until("systemctl is-active chestlight", 120)
    return unit.must("echo $(chestlight --version; systemctl show -p Type,User,WatchdogUSec chestlight)")


def folder_to_journal(unit):
    row = unit.read("first.png")
    return f"reading {row['seq']}, {row['verdict']}"


def exposure(unit):
    told = unit.must("systemd-analyze security chestlight --no-pager | tail -n 1")
    figure = next(float(word) for word in told.split() if word.replace(".", "").isdigit())
    if figure > 2.0:
        raise AssertionError(told)
    return f"exposure {figure}"


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


def clock_set(unit):
    unit.must("chestlight clock set \"$(date -u '+%Y-%m-%d %H:%M')\"")
    unit.wait(60, "the clock is trusted", lambda vitals: vitals["clock_trusted"])
    return "by a person's command; the unit trusts it"


def clock_back(unit):
    unit.must("date -s '2001-01-01 00:00:00'")
    unit.read("clock.png")
    return unit.verify()


def purge(unit):
    films = f"find {FOLDER}/state/archive -type f ! -name '*.heatmap.png' | wc -l"
    before = unit.must(f"systemctl stop chestlight; {films}")
    unit.must(f"rm -f {CONFIG}.shipped; DEBIAN_FRONTEND=noninteractive dpkg --purge chestlight")
    left = unit.must("find /etc /usr /run -name '*chestlight*' ! -path '/run/systemd/*' | xargs -r ls -d")
    after = unit.must(films)
    if left or before != after:
        raise AssertionError(f"left: {left}; films before {before}, after {after}")
    return f"nothing left but {after} films and the journal"
