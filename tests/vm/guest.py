"""A machine with guest/agent in it: what is said to it, and what it answers."""

import base64
import time


class Guest:
    """One boot of a machine. Whoever inherits starts it, and leaves a binary stream to the agent in `agent`."""

    # How the guest mounts the host's folder.
    share = "true"

    def wait_until_up(self):
        """Seconds from power on to the agent's first word."""
        while b"ready" not in self.agent.readline():
            pass
        self.must(self.share)
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

    def must(self, script):
        """What `script` says, which must succeed."""
        status, told = self(script)
        if status != 0:
            raise AssertionError(f"exit status {status}: {told.strip()[-600:]}")
        return told.strip()

    def until(self, script, seconds):
        """Runs `script` until it succeeds, for `seconds` of the host at most: a loaded host bends the guest's clock."""
        deadline = time.monotonic() + seconds
        while (answer := self(script))[0] != 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s: {script[:200]}; at last: {answer[1].strip()[-300:]}")
            time.sleep(0.2)
        return answer[1].strip()
