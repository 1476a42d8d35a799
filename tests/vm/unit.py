"""chestlight as it runs on a board."""

import json
import time

FOLDER = "/var/lib/chestlight"
INBOX = f"{FOLDER}/inbox"
CONFIG = "/etc/chestlight/chestlight.toml"
# What the package brings for whoever needs it.
SHARED = "/usr/share/chestlight/systemd"
LOG = "runuser -u chestlight -- chestlight log"


class Unit:
    """The unit on a board that `boot` starts; `board` is the present boot."""

    def __init__(self, boot):
        self._boot = boot
        self.board = boot()

    def start_again(self):
        """The next boot, after a power cut."""
        self.board = self._boot()
        self.board.wait_until_up()

    def must(self, script):
        return self.board.must(script)

    def until(self, script, seconds):
        return self.board.until(script, seconds)

    def verify(self):
        told = self.must(f"{LOG} verify --config {CONFIG} 2> /dev/null")
        return told.split(";")[0]

    def readings(self):
        """The journal's rows of films."""
        lines = self.must(f"{LOG} export --config {CONFIG} --jsonl 2> /dev/null").splitlines()
        return [row for row in map(json.loads, lines) if row["kind"] == "reading"]

    def read(self, name, film="film.png", seconds=180):
        """Puts the share's `film` into the inbox, made another film by its name at the end; its row."""
        self.put(name, film)
        return self.row_of(name, seconds)

    def put(self, name, film="film.png"):
        self.must(f"cp /host/{film} /run/{name} && printf {name} >> /run/{name} && chmod 644 /run/{name} && "
                  f"mv /run/{name} {INBOX}/{name}")

    def row_of(self, name, seconds=180):
        found = self.until(f"{LOG} export --config {CONFIG} --jsonl | grep -F {name}", seconds)
        return json.loads(found.splitlines()[-1])

    def vitals(self):
        """What the running unit tells of itself."""
        told = json.loads(self.must(f"chestlight status --json --config {CONFIG} 2> /dev/null || [ $? = 1 ]"))
        return told["vitals"]

    def wait(self, seconds, what, look):
        """Waits until `look` of the vitals is true."""
        deadline = time.monotonic() + seconds
        while not look(vitals := self.vitals()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not in {seconds} s: {json.dumps(vitals)[-600:]}")
            time.sleep(0.2)
        return vitals

    def configure(self, more):
        """Adds sections to the package's configuration, or none, and restarts."""
        self.must(f"[ -e {CONFIG}.shipped ] || cp {CONFIG} {CONFIG}.shipped; cp {CONFIG}.shipped {CONFIG}; "
                  f"cat >> {CONFIG} <<'END'\n{more}\nEND\nsystemctl restart chestlight")

    def drop_in(self, name, settings):
        """Gives the service more settings until the next boot, or takes them away; they count from its next start."""
        file = f"/run/systemd/system/chestlight.service.d/{name}.conf"
        write = f"mkdir -p {file.rsplit('/', 1)[0]} && printf '[Service]\n{settings}\n' > {file}"
        self.must(f"{write if settings else f'rm {file}'}; systemctl daemon-reload")
