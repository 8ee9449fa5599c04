#!/usr/bin/env python3
"""The measuring half of scripts/bench-idle, which says what it is for."""
import json, os, random, socket, sqlite3, threading, time

from bench_peers import (
    HEAD, MAILBOX, MESSAGE, PASSWORD, Daemon, Dovecot, Place, arguments, deliver, desk, fail, percentile, wait_until,
)

USER, BARE = "support", "bare"
PATIENCE = 60


class BareIdle(threading.Thread):
    """An IDLE connection that does nothing but note when the server tells of a message."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.seen, self.changed = [], threading.Condition()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        for command in ("b1 LOGIN %s %s" % (BARE, PASSWORD), "b2 SELECT INBOX"):
            self.say(command)
            while not self.lines.readline().startswith(command.split()[0].encode()):
                pass
        self.say("b3 IDLE")
        while not self.lines.readline().startswith(b"+"):
            pass

    def say(self, command):
        self.socket.sendall(command.encode() + b"\r\n")

    def run(self):
        for line in self.lines:
            now = time.time()
            if line.rstrip().endswith(b"EXISTS"):
                with self.changed:
                    self.seen.append(now)
                    self.changed.notify()

    def wait(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.seen) >= count, PATIENCE):
                fail("the bare connection was told of %d messages, not of %d" % (len(self.seen), count))
            return self.seen[count - 1]


def wait_for_ticket(db, count, daemon):
    """When the ticket is there for another connection: committed, whatever the daemon notes of it."""
    end = time.monotonic() + PATIENCE
    while db.execute("SELECT count(*) FROM ticket").fetchone()[0] < count:
        if time.monotonic() > end:
            daemon.require_running()
            fail("message %d became no ticket\n%s" % (count, daemon.words()))
        time.sleep(0.001)
    return time.time()


def raw_lines(folder, ending):
    """The server's raw log of the daemon's sessions: time and line."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(ending):
            with open(os.path.join(folder, name), "rb") as f:
                for line in f:
                    stamp, _, text = line.rstrip().partition(b" ")
                    try:
                        yield float(stamp), text
                    except ValueError:
                        pass  # a further line of a literal


def run(a, dovecot, daemon, raw):
    commands = lambda: [text.split(b" ")[1].decode() for _, text in raw_lines(raw, ".in") if text[:1] == b"m" and b" " in text]
    wait_until("the daemon waits in IDLE", lambda: "IDLE" in commands(), daemon)
    bare = BareIdle(dovecot.port)
    bare.start()
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(daemon.folder, "desk.db"), uri=True, isolation_level=None)
    dice = random.Random(a.seed)
    arrived, told, committed = [], [], []
    for n in range(1, a.messages + 1):
        fill = lambda user: MESSAGE.format(n=n, salt=a.seed, user=user).encode()
        name = "%d.M%06dP1.bench" % (1760000000 + n, n)
        arrived.append(deliver(dovecot, USER, name, fill(USER)))
        bare_arrived = deliver(dovecot, BARE, name, fill(BARE))
        committed.append(wait_for_ticket(db, n, daemon))
        told.append(bare.wait(n) - bare_arrived)
        if n % 100 == 0:
            print("%d messages" % n, flush=True)
        # Apart, so that each is told of by itself, and at no fixed distance to the server's own timers.
        time.sleep(dice.uniform(0.1, 0.4))
    exists = [at for at, text in raw_lines(raw, ".out") if text.startswith(b"* ") and text.endswith(b" EXISTS")]
    waits = []
    for at, done in zip(arrived, committed):
        # The first that the daemon was told after the arrival.
        first = next((e for e in exists if e >= at), None)
        if first is None or first > done:
            fail("a ticket without an EXISTS before it: who told the daemon?")
        waits.append(done - first)
    verbs = sorted(set(commands()))
    logins = len([n for n in os.listdir(raw) if n.endswith(".in")])
    if set(verbs) & {"NOOP", "CHECK", "STATUS", "SEARCH"}:
        fail("the daemon polls: %s" % ", ".join(verbs))
    ms = lambda values, share: round(percentile(values, share) * 1e3, 1)
    after = [c - at for c, at in zip(committed, arrived)]
    print("%-28s %8s %8s %8s" % ("ms", "p50", "p99", "max"))
    for what, values in (("delivery to bare EXISTS", told), ("EXISTS to ticket", waits), ("arrival to ticket", after)):
        print("%-28s %8.1f %8.1f %8.1f" % (what, ms(values, 0.5), ms(values, 0.99), max(values) * 1e3))
    print(json.dumps({
        "messages": a.messages, "p50_ms": ms(waits, 0.5), "p99_ms": ms(waits, 0.99), "max_ms": round(max(waits) * 1e3, 1),
        "server_p50_ms": ms(told, 0.5), "server_p99_ms": ms(told, 0.99),
        "arrival_p50_ms": ms(after, 0.5), "arrival_p99_ms": ms(after, 0.99),
        "logins": logins, "commands": verbs, "rss_mb": round(daemon.rss_mb(), 1), "cpu_s": daemon.cpu_s(),
    }), flush=True)


def main():
    p = arguments(messages=1000)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    if a.messages < 1:
        fail("--messages is at least 1", 64)
    with Place("idle", (USER, BARE)) as place:
        # Under another name until the server is up: it logs the sessions of those alone who have such a folder.
        raw, unused = os.path.join(place.mail, "raw-" + USER), os.path.join(place.mail, "raw")
        os.makedirs(unused)
        rawlog = "protocol imap {\n  rawlog_dir = %s/raw-%%u\n}\n" % place.mail
        dovecot = place.started(Dovecot(place.mail, BARE, rawlog))
        os.rename(unused, raw)
        config = MAILBOX.format(user=USER, port=dovecot.port, more="interval_s = 86400")
        daemon = place.started(Daemon(a.program, desk(os.path.join(place.work, "desk"), HEAD + config)))
        run(a, dovecot, daemon, raw)


if __name__ == "__main__":
    main()
