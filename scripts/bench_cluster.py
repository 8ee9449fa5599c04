#!/usr/bin/env python3
"""The measuring half of scripts/bench-cluster, which says what it is for."""
import json, os, shutil, subprocess, sys, tempfile, time

from bench_peers import HEAD, MAILBOX, MESSAGE, Daemon, Dovecot, Place, arguments, desk, fail
from torture_peers import PostgreSQL

DOVECOT = """
default_process_limit = 1000
default_client_limit = 4000
mail_fsync = never
service imap-login {
  service_count = 0
  process_min_avail = 2
}
"""
SHARE, PACE = 0.25, 0.9


def user(n):
    return "box%d" % n


class Postgres(PostgreSQL):
    """As it ships, on the disk that the mail lies on."""

    settings = ()

    def sql(self, database, text):
        done = subprocess.run(["psql", "-XqtA", "-c", text, self.url(database)], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None


def busy():
    """Seconds that the processors of this machine have worked, and could have."""
    with open("/proc/stat") as f:
        ticks = [int(n) for n in f.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def write(a, dovecot, number):
    """The mail, beside its mailboxes."""
    stage = os.path.join(dovecot.mail, "stage")
    os.makedirs(stage)
    files = []
    for n in range(a.messages):
        to, path = user(n % a.mailboxes), os.path.join(stage, "%d.M%06dP%d.bench" % (1760000000 + n, n, number))
        with open(path, "wb") as f:
            f.write(MESSAGE.format(n=n, salt=a.seed, user=to).encode())
        os.chmod(path, 0o666)
        files.append((path, os.path.join(dovecot.mail, to, "new", os.path.basename(path))))
    dovecot.own(stage)
    return files


def wait_for_shares(a, postgres, database, members):
    sql = ("SELECT count(*) FROM lease l JOIN daemon d ON d.id = l.owner WHERE l.name LIKE 'mailbox:%' GROUP BY d.id "
           "ORDER BY 1")
    even = sorted(a.mailboxes // len(members) + (n < a.mailboxes % len(members)) for n in range(len(members)))
    end = time.time() + 120
    while postgres.sql(database, sql).split() != [str(n) for n in even]:
        for member in members:
            member.require_running()
        if time.time() > end:
            fail("the mailboxes are not shared: %s" % postgres.sql(database, sql).split())
        time.sleep(0.1)


def desks(a, work, sections, postgres, database, number):
    """Folders for so many daemons on one desk, which is set up by the first."""
    folders = []
    key = None
    for at in range(number):
        head = HEAD.replace("sqlite:desk.db", postgres.url(database))
        # One folder for all: what they send goes to the same place.
        head = head.replace('path = "out"', 'path = "%s"' % os.path.join(work, database + "-out"))
        head = head.replace("[run]\n", "[web]\nlisten = \"\"\n\n[run]\n")
        folder = desk(os.path.join(work, "%s-%d" % (database, at)), head + sections)
        folders.append(folder)
        if key:
            shutil.copy(key, os.path.join(folder, "maildesk.key"))
            continue
        command = [a.program, "--config", os.path.join(folder, "config.toml"), "migrate"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            fail("migrate: " + done.stderr)
        key = os.path.join(folder, "maildesk.key")
    return folders


class Member(Daemon):
    """One of the daemons, by its log."""

    def decided(self):
        """Messages of its log."""
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return sum("intake.accepted" in line or "intake.decided" in line for line in f)

    def complaints(self):
        """The first lines of its log that are no good news: a round that fails waits before the next."""
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            bad = (line.strip()[:300] for line in f if " WARN " in line or " ERROR " in line)
            return [line for line in bad if " sqlx::" not in line][:5]


def run(a, work, dovecot, postgres, sections, number):
    database = "desk%d" % number
    if postgres.sql("postgres", "CREATE DATABASE %s TEMPLATE template0" % database) is None:
        fail("no database")
    files = write(a, dovecot, number)
    folders = desks(a, work, sections, postgres, database, number)
    members = []
    try:
        members = [Member(a.program, folder) for folder in folders]
        wait_for_shares(a, postgres, database, members)
        # The mail that waits to be moved in is no work of theirs.
        os.sync()
        began, (worked, passed) = time.time(), busy()
        for path, there in files:
            os.rename(path, there)
        while True:
            for member in members:
                member.require_running()
            counts = postgres.sql(database, "SELECT (SELECT count(*) FROM ticket), "
                                  "(SELECT count(*) FROM arrival WHERE state = 'acked')")
            if counts == "%d|%d" % (a.messages, a.messages):
                break
            if time.time() > began + a.patience:
                fail("after %d s: %s of %d\n%s" % (a.patience, counts, a.messages, members[0].words()))
            time.sleep(0.25)
        # From the first message that was kept to the last that was removed.
        took = float(postgres.sql(database, "SELECT (max(acked_us) - min(kept_us)) / 1e6 FROM arrival"))
        worked, passed = [now - then for now, then in zip(busy(), (worked, passed))]
        shares = [member.decided() for member in members]
        cpu = [round(member.cpu_s(), 1) for member in members]
    finally:
        for member in members:
            member.stop()
    for member in members:
        for line in member.complaints():
            print("%s: %s" % (os.path.basename(member.folder), line), file=sys.stderr)
    even = a.messages / number
    out = {
        "daemons": number, "seconds": round(took, 1), "rate": round(a.messages / took, 1), "shares": shares,
        "off": round(max(abs(share - even) for share in shares) / even, 3), "cpu_s": cpu,
        "busy": round(worked / max(1, passed), 2),
    }
    print("%d daemon(s): %.1f messages a second, shares %s" % (number, out["rate"], shares), flush=True)
    if sum(shares) != a.messages:
        fail("the logs tell of %d messages, not of %d" % (sum(shares), a.messages))
    # What this run has left to write and to clean up is not for the next one to pay.
    for folder in folders:
        shutil.rmtree(folder)
    postgres.sql("postgres", "DROP DATABASE %s" % database)
    postgres.sql("postgres", "CHECKPOINT")
    os.rmdir(os.path.join(dovecot.mail, "stage"))
    left = sum(len(os.listdir(os.path.join(dovecot.mail, user(n), sub))) for n in range(a.mailboxes) for sub in ("new", "cur"))
    if left:
        fail("%d messages are still in their mailboxes" % left)
    return out


def joined(messages, turns):
    """The runs with one number of daemons as one: the time of all, the shares of the most uneven."""
    seconds = sum(out["seconds"] for out in turns)
    uneven = max(turns, key=lambda out: out["off"])
    return dict(uneven, seconds=round(seconds, 1), rate=round(len(turns) * messages / seconds, 1))


def main():
    p = arguments(messages=20000)
    p.add_argument("--mailboxes", type=int, default=40)
    p.add_argument("--daemons", default="1,2,4")
    p.add_argument("--patience", type=int, default=3600, help="seconds that one run may take")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    numbers = [int(n) for n in a.daemons.split(",")]
    if a.mailboxes < 1 or a.messages < a.mailboxes or not numbers or min(numbers) < 1:
        fail("--mailboxes and --daemons are at least 1, --messages at least --mailboxes", 64)
    with Place("cluster", map(user, range(a.mailboxes))) as place:
        dovecot = place.started(Dovecot(place.mail, user(0), DOVECOT))
        postgres = place.started(Postgres(place.folder(tempfile.mkdtemp(prefix="maildesk-postgres-", dir="/var/tmp"))))
        more = "interval_s = 5"
        sections = "".join(MAILBOX.format(user=user(n), port=dovecot.port, more=more) for n in range(a.mailboxes))
        # There and back again: what the machine does meanwhile, and what earlier runs left it to write, falls on all alike.
        turns = [run(a, place.work, dovecot, postgres, sections, number) for number in numbers + numbers[::-1]]
    runs = [joined(a.messages, [out for out in turns if out["daemons"] == number]) for number in numbers]
    for out in runs:
        out["of_one"] = round(out["rate"] / runs[0]["rate"], 3)
    ok = all(out["off"] <= SHARE and out["of_one"] >= PACE for out in runs)
    print(json.dumps({
        "messages": a.messages, "mailboxes": a.mailboxes, "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "runs": runs, "ok": ok,
    }), flush=True)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
