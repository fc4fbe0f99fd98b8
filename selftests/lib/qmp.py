# SPDX-License-Identifier: GPL-2.0
"""QEMU's monitor: what runs a QEMU speaks to it through this, on the host's side as well as inside a guest."""

import json

# How a migration can end.
ENDS = ("completed", "failed", "cancelled")


class QmpError(RuntimeError):
    """QEMU refused a command, or is gone."""


class Qmp:
    """The monitor of one QEMU, behind a connected socket. `last_words` returns what is told when QEMU is gone."""

    def __init__(self, link, name, last_words=lambda: ""):
        self.name, self.last_words = name, last_words
        self.file = link.makefile("rw", encoding="utf-8")
        self.events = []
        self.message()
        self.command("qmp_capabilities")

    def message(self):
        """Reads what QEMU says next."""
        try:
            line = self.file.readline()
        except TimeoutError as error:
            raise QmpError(f"{self.name}: QEMU is silent\n{self.last_words()}") from error
        except ConnectionError:
            line = ""
        if not line:
            raise QmpError(f"{self.name}: QEMU ended\n{self.last_words()}")
        return json.loads(line)

    def command(self, execute, **arguments):
        """Carries out a command and returns its answer."""
        self.file.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = self.message()
            if "error" in answer:
                raise QmpError(f"{self.name}: {execute}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def wait_event(self, event, condition=lambda data: True):
        """Waits for an event and returns its data. Those before it are forgotten."""
        while True:
            message = self.events.pop(0) if self.events else self.message()
            if message.get("event") == event and condition(message.get("data", {})):
                return message.get("data", {})

    def job(self, execute, **arguments):
        """Runs a job to its end."""
        name = f"job-{execute}"
        self.command(execute, **{"job-id": name}, **arguments)
        self.wait_event("JOB_STATUS_CHANGE", lambda data: data["id"] == name and data["status"] == "concluded")
        result = next(job for job in self.command("query-jobs") if job["id"] == name)
        self.command("job-dismiss", id=name)
        if "error" in result:
            raise QmpError(f"{self.name}: {execute}: {result['error']}")

    def set_capability(self, name, state=True):
        """Turns a capability of migration on or off."""
        self.command("migrate-set-capabilities", capabilities=[{"capability": name, "state": state}])

    def migrate(self, target, path):
        """Starts to move to another QEMU, which waits for it, through a socket that is made at `path`."""
        for monitor in (self, target):
            monitor.set_capability("events")
        target.command("migrate-incoming", uri=f"unix:{path}")
        self.command("migrate", uri=f"unix:{path}")

    def wait_migration(self, *statuses):
        """Waits until a migration is in one of these states, and returns in which; fails when it ends otherwise."""
        data = self.wait_event("MIGRATION", lambda data: data["status"] in statuses + ENDS)
        if data["status"] not in statuses:
            why = self.command("query-migrate").get("error-desc")
            raise QmpError(f"{self.name}: migration {data['status']}: {why}")
        return data["status"]

    def wait_migrated(self):
        """Waits for the end of a migration; returns what QEMU tells of it."""
        self.wait_migration("completed")
        return self.command("query-migrate")
