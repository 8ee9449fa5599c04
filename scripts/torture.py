#!/usr/bin/env python3
"""The torture itself; scripts/torture says what it is for, docs/torture.md how to read it."""
import argparse, json, os, random, re, shutil, signal, subprocess, sys, tempfile, threading, time

import torture_check
from bench_peers import PASSWORD, fail
from torture_check import Findings
from torture_mail import ADMIN, BOUNCES, COPY, Mail
from torture_net import Loop, Proxy, Sink
from torture_peers import Daemon, Dovecot, Folder, PostgreSQL

def crash_points():
    """Those that are met here: nobody signs in with a token, so no grant is ever refreshed."""
    with open(os.path.join(torture_check.ROOT, "src", "crash.rs")) as f:
        points = re.findall(r'^    "([a-z_.]+)",$', f.read(), re.M)
    return [point for point in points if not point.startswith("oauth.")]


SINK_ORDERS = ("greet_421", "mail_4xx", "rcpt_4xx", "data_4xx", "dot_4xx", "cut_in_data", "cut_after_dot", "stall_after_dot")
# How often each kind of fault comes in a deck; a deck is shuffled, and used up before the next.
DECK = {"kill": 4, "crash": 6, "term": 1, "stop": 2, "dovecot": 1, "postgres": 2, "cut": 4, "stall": 2, "garble": 3, "away": 1, "sink": 5}
# name → protocol, handled
BOXES = {
    "support": ("imap", "delete"), "sales": ("imap", "move"), "office": ("imap", "seen"), "shop": ("pop3", "delete"),
    "local": ("maildir", "delete"), BOUNCES: ("imap", "delete"),
}
MESSAGES_A_FAULT = 6
FIRST_MESSAGES = 12
# Between two faults, in seconds.
GAP = (0.8, 2.4)
# A daemon that ended by itself is started again after so long, as systemd does.
REST = 1.0
# How long one that is to die at a crash point may take to meet it. The faults go on meanwhile.
ARMED = 8.0


def say(words):
    print("%7.1f %s" % (time.monotonic() - BEGAN, words), file=sys.stderr, flush=True)


BEGAN = time.monotonic()


def schedule(seed, faults, daemons, store):
    """What goes wrong, in order, each with all that it needs to know. A function of its arguments alone."""
    dice = random.Random("faults %s" % seed)
    deck, points, orders, plan = [], [], [], []
    all_points = crash_points()
    of = ["imap", "pop3", "smtp-a", "smtp-b"] + (["db-%d" % d for d in range(daemons)] if store == "postgres" else [])
    for _ in range(faults):
        if not deck:
            deck = [kind for kind, n in DECK.items() for _ in range(n) if kind != "postgres" or store == "postgres"]
            dice.shuffle(deck)
        fault = {"kind": deck.pop(), "gap": dice.uniform(*GAP), "daemon": dice.randrange(daemons), "dice": dice.random()}
        fault["proxy"] = dice.choice(of)
        fault["direction"] = dice.choice(["up", "down"])
        fault["after"] = int(dice.choice([0, 60, 600, 4000]) * dice.random())
        if fault["kind"] == "crash":
            points = points or dice.sample(all_points, len(all_points))
            fault["point"] = "%s:%d" % (points.pop(), dice.choice([1, 1, 2, 3]))
        if fault["kind"] == "sink":
            orders = orders or dice.sample(SINK_ORDERS, len(SINK_ORDERS))
            fault["order"] = orders.pop()
        plan.append(fault)
    return plan


class Torture:
    def __init__(self, a, folder):
        self.a, self.folder = a, folder
        self.findings = Findings()
        self.loop = Loop()
        self.mail_folder = os.path.join(folder, "mail")
        os.makedirs(self.mail_folder)
        os.chmod(folder, 0o755)
        self.dovecot = self.postgres = None
        self.daemons = []
        self.is_calm, self.is_over = threading.Event(), threading.Event()
        self.cursor = 0
        self.points = {"met": 0, "not met": 0}

    # --- the house

    def set_up(self):
        # A build during the run is not to put another program into it.
        self.a.program = shutil.copy(self.a.program, os.path.join(self.folder, "maildesk"))
        server_boxes = [name for name, (protocol, _) in BOXES.items() if protocol != "maildir"]
        self.dovecot = Dovecot(self.mail_folder, server_boxes)
        self.sink = Sink(self.loop, self.folder)
        self.local = Folder(os.path.join(self.folder, "local"))
        self.proxies = {
            "imap": Proxy(self.loop, self.dovecot.port), "pop3": Proxy(self.loop, self.dovecot.pop3),
            "smtp-a": Proxy(self.loop, self.sink.port), "smtp-b": Proxy(self.loop, self.sink.port),
        }
        if self.a.store == "postgres":
            self.postgres = PostgreSQL(os.path.join(self.folder, "postgres"))
            for d in range(self.a.daemons):
                self.proxies["db-%d" % d] = Proxy(self.loop, self.postgres.port, is_binary=True)
        for d in range(self.a.daemons):
            folder = os.path.join(self.folder, "daemon-%d" % d)
            os.makedirs(folder)
            with open(os.path.join(folder, "password"), "w") as f:
                f.write(PASSWORD)
            with open(os.path.join(folder, "config.toml"), "w") as f:
                f.write(self.config(d))
            self.daemons.append(Daemon(d, self.a.program, folder))
        done = subprocess.run(self.daemons[0].command("migrate"), capture_output=True)
        done.returncode == 0 or fail("maildesk migrate: " + done.stderr.decode(errors="replace"))
        puts = {name: self.local.put if protocol == "maildir" else self.dovecot.put(name) for name, (protocol, _) in BOXES.items()}
        self.mail = Mail(self.a.seed, puts, self.sink, self.folder)
        with open(os.path.join(self.folder, "run.json"), "w") as f:
            json.dump({"store": self.a.store, "faults": self.a.faults, "daemons": self.a.daemons, "seed": self.a.seed}, f)

    def config(self, d):
        url = "sqlite:../desk.db" if self.a.store == "sqlite" else self.postgres.url(port=self.proxies["db-%d" % d].port)
        out = ['[store]\nurl = "%s"\n\n[keys]\nfile = "../maildesk.key"\n\n[web]\nlisten = ""\n\n[backup]\nschedule = ""\n\n'
               '[run]\nsocket = "maildesk.sock"\nmin_free_mb = 0\ntries = 100\nlease_s = %d\n' % (url, self.a.lease_s)]
        for relay in ("smtp-a", "smtp-b"):
            out.append('[[relay]]\nname = "%s"\nhost = "127.0.0.1"\nport = %d\ntls = "plain"\nsender = "desk@example.com"\nverp = true\n'
                       % (relay, self.proxies[relay].port))
        for n, (name, (protocol, handled)) in enumerate(BOXES.items()):
            where = 'path = "%s"' % self.local.path if protocol == "maildir" else (
                'host = "127.0.0.1"\nport = %d\ntls = "plain"\nusername = "%s"\npassword_file = "password"' % (self.proxies[protocol].port, name))
            more = 'move_to = "Done"\n' if handled == "move" else ""
            out.append('[[mailbox]]\nname = "%s"\nprotocol = "%s"\n%s\nhandled = "%s"\n%sinterval_s = 2\n' % (name, protocol, where, handled, more))
            rest = 'flow = "bounce"\n' if name == BOUNCES else 'admin = "%s"\nforward = ["%s"]\nauto_answer = true\n' % (ADMIN, COPY)
            out.append('[[type]]\nname = "%s"\ntag = "%s"\nmailbox = "%s"\nrelay = "%s"\naddresses = ["%s@example.com"]\n%s'
                       % (name, name.title(), name, ("smtp-a", "smtp-b")[n % 2], name, rest))
        return "\n".join(out)

    def reader(self):
        if self.a.store == "sqlite":
            return torture_check.Sqlite(os.path.join(self.folder, "desk.db"))
        return torture_check.Postgres(self.postgres.url())

    def ask(self, sql):
        """Rows, or None while the store is away."""
        try:
            db = self.reader()
            try:
                return db.rows(sql)
            finally:
                db.close()
        except (OSError, Exception) as e:
            if type(e).__name__ not in ("OperationalError", "OSError"):
                raise
            return None

    # --- what goes on beside the faults

    def look_after_daemons(self):
        """Starts again what has ended; notes what ended by itself."""
        now = time.monotonic()
        for daemon in self.daemons:
            if daemon.stopped_until and now > daemon.stopped_until:
                daemon.go_on()
            if daemon.armed and daemon.is_running() and not daemon.stopped_until and now > daemon.armed_until:
                self.points["not met"] += 1
                say("daemon %d did not meet %s: killed" % (daemon.number, daemon.armed))
                daemon.kill()
                daemon.start()
            if daemon.is_running() or daemon.process is None or now < daemon.rest_until:
                continue
            code = daemon.process.returncode
            if daemon.rest_until == 0.0 and code not in (-signal.SIGKILL, -signal.SIGABRT):
                say("daemon %d ended by itself with %s" % (daemon.number, code))
                if code in (64, 78):
                    fail("daemon %d: exit code %d; see %s" % (daemon.number, code, os.path.join(daemon.folder, "log")))
                daemon.ends.append(code)
                daemon.rest_until = now + REST
                continue
            if code == -signal.SIGABRT:
                if daemon.armed:
                    self.points["met"] += 1
                    say("daemon %d died at %s" % (daemon.number, daemon.armed))
                else:
                    daemon.ends.append("abort")
                    self.findings.add("failures", "daemon %d aborted, and nobody told it to; see its log" % daemon.number)
            daemon.rest_until = 0.0
            daemon.start()

    def witness(self):
        """A reader with a cursor, as every reader of the events is: what is written behind its back it will never see."""
        with open(os.path.join(self.folder, "witness.jsonl"), "a") as record:
            while not self.is_over.is_set():
                self.look(record)
                self.is_over.wait(0.5)
            self.look(record)

    def look(self, record):
        rows = self.ask("SELECT number FROM ticket_event WHERE number > %d ORDER BY number" % self.cursor)
        if rows:
            numbers = [r["number"] for r in rows]
            self.cursor = numbers[-1]
            record.write(json.dumps({"at": time.time(), "numbers": numbers}) + "\n")
            record.flush()

    def impatient_admin(self):
        """Has deferred mail tried again at once: nobody here waits for minutes."""
        while not self.is_over.is_set():
            self.is_over.wait(3)
            self.retry()

    def retry(self):
        rows = self.ask("SELECT DISTINCT outbox_id AS id FROM outbox_recipient WHERE state = 'deferred'")
        if rows:
            self.command("queue", "retry", *[str(r["id"]) for r in rows[:200]])

    def agents(self):
        """Answers go out all the while, by a command each: one that says that it is done has to be."""
        dice = random.Random("agents %s" % self.a.seed)
        with open(os.path.join(self.folder, "answers.jsonl"), "a") as record:
            count = 0
            while not self.is_calm.wait(2):
                tickets = self.ask("SELECT id FROM ticket ORDER BY id")
                if not tickets:
                    continue
                count += 1
                answer = {"token": "A%05d" % count, "ticket": dice.choice(tickets)["id"]}
                answer["code"] = self.command("ticket", "answer", str(answer["ticket"]), "--text", "This is %s." % answer["token"])
                if answer["code"] != "nobody":
                    record.write(json.dumps(answer) + "\n")
                    record.flush()

    def command(self, *arguments):
        """A command by way of a daemon that is there, most likely. Gives its exit code; None: it was ended; nobody: no daemon."""
        for daemon in self.daemons:
            if daemon.is_running() and not daemon.stopped_until and not daemon.armed:
                try:
                    return subprocess.run(daemon.command(*arguments), capture_output=True, timeout=20, stdin=subprocess.DEVNULL).returncode
                except subprocess.TimeoutExpired:
                    return None
        return "nobody"

    # --- faults

    def suffer(self):
        plan = schedule(self.a.seed, self.a.faults, self.a.daemons, self.a.store)
        for _ in range(FIRST_MESSAGES):
            self.mail.next()
        for daemon in self.daemons:
            daemon.start()
        self.pass_time(2)
        for number, fault in enumerate(plan, 1):
            share, left = fault["gap"] / MESSAGES_A_FAULT, MESSAGES_A_FAULT
            while left:
                self.mail.next()
                left -= 1
                self.pass_time(share)
            say("fault %d of %d: %s" % (number, self.a.faults, self.do(fault)))

    def pass_time(self, seconds):
        end = time.monotonic() + seconds
        while True:
            self.look_after_daemons()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))

    def do(self, fault):
        return getattr(self, "do_" + fault["kind"])(fault, self.daemons[fault["daemon"]])

    def do_kill(self, fault, daemon):
        daemon.kill()
        daemon.start()
        return "daemon %d killed" % daemon.number

    def do_crash(self, fault, daemon):
        """It dies there, or is killed where the point is not met in time: whoever looks after the daemons sees to that."""
        daemon.kill()
        daemon.start(armed=fault["point"])
        daemon.armed_until = time.monotonic() + ARMED
        for _ in range(3):
            self.pass_time(0.25)
            self.mail.next()
        return "daemon %d is to die at %s" % (daemon.number, fault["point"])

    def do_term(self, fault, daemon):
        code = daemon.stop()
        if code is None:
            self.findings.add("failures", "daemon %d did not end within 45 s of SIGTERM" % daemon.number)
        daemon.start()
        return "daemon %d asked to end: %s" % (daemon.number, code)

    def do_stop(self, fault, daemon):
        seconds = self.a.stop_s * (0.5 + fault["dice"])
        daemon.pause(seconds)
        if len(self.daemons) == 1:
            self.pass_time(seconds)
        return "daemon %d stopped for %.1f s" % (daemon.number, seconds)

    def do_dovecot(self, fault, daemon):
        self.dovecot.restart(signal.SIGTERM)
        return "Dovecot restarted"

    def do_postgres(self, fault, daemon):
        how = signal.SIGINT if fault["dice"] < 0.4 else signal.SIGQUIT
        self.postgres.restart(how)
        return "PostgreSQL restarted, " + ("fast" if how == signal.SIGINT else "without a checkpoint")

    def do_cut(self, fault, daemon):
        proxy = self.proxies[fault["proxy"]]
        if fault["dice"] < 0.3:
            self.loop.soon(proxy.cut)
            return "%s cut" % fault["proxy"]
        self.loop.soon(proxy.order, "cut", fault["direction"], fault["after"])
        return "%s is cut after %d bytes %s" % (fault["proxy"], fault["after"], fault["direction"])

    def do_garble(self, fault, daemon):
        proxy = self.proxies[fault["proxy"]]
        # What PostgreSQL is told cannot be told from what was meant: a value within a statement looks like any other.
        direction = "down" if proxy.is_binary else fault["direction"]
        self.loop.soon(proxy.order, "garble", direction, fault["after"])
        return "%s is garbled after %d bytes %s" % (fault["proxy"], fault["after"], direction)

    def do_stall(self, fault, daemon):
        seconds = 1 + 4 * fault["dice"]
        self.loop.soon(self.proxies[fault["proxy"]].stall, seconds)
        if fault["dice"] < 0.5:
            self.pass_time(seconds - 0.2)
            self.loop.soon(self.proxies[fault["proxy"]].cut)
        return "%s stalled for %.1f s%s" % (fault["proxy"], seconds, ", then cut" if fault["dice"] < 0.5 else "")

    def do_away(self, fault, daemon):
        proxy = self.proxies[fault["proxy"]]
        proxy.is_away = True
        self.loop.soon(proxy.cut)
        self.pass_time(1 + 3 * fault["dice"])
        proxy.is_away = False
        return "%s was away" % fault["proxy"]

    def do_sink(self, fault, daemon):
        self.loop.soon(self.sink.order, fault["order"])
        return "the sink is to do: " + fault["order"]

    # --- the calm

    def calm(self):
        self.is_calm.set()
        for thing in list(self.proxies.values()) + [self.sink]:
            self.loop.soon(thing.calm)
        self.dovecot.require_up()
        met = sum(proxy.done for proxy in self.proxies.values())
        say("calm: %d messages delivered, %d mails sent so far; %d cuts and garbles on the wire" % (self.delivered(), len(self.sink.taken), met))
        # One that stands still may hold what another waits for.
        for daemon in self.daemons:
            daemon.go_on()
        for daemon in self.daemons:
            code = daemon.stop()
            if code is None:
                self.findings.add("failures", "daemon %d did not end within 45 s of SIGTERM" % daemon.number)
        # With nothing waited out: they begin anew, as after a restart by hand.
        for daemon in self.daemons:
            daemon.rest_until = 0.0
            daemon.start()
        end, quiet, told, waits = time.monotonic() + self.a.calm_s, 0, 0.0, ""
        while quiet < 3:
            self.pass_time(0.7)
            waits = self.waits()
            quiet = 0 if waits else quiet + 1
            if time.monotonic() > end:
                return say("not quiet after %d s: %s" % (self.a.calm_s, waits))
            if waits and time.monotonic() - told > 5:
                say("waits: " + waits)
                told = time.monotonic()
        say("quiet")

    def delivered(self):
        return sum(len(line["boxes"]) for line in self.mail.manifest)

    def waits(self):
        """What is not done yet, in words; empty: nothing."""
        rows = self.ask(
            "SELECT (SELECT count(*) FROM arrival) AS arrivals, (SELECT count(*) FROM arrival WHERE state <> 'acked') AS unacked, "
            "(SELECT count(*) FROM outbox WHERE state <> 'done') AS mails, "
            "(SELECT count(*) FROM alert WHERE owed = 1) AS alerts, "
            "(SELECT coalesce(max(number), 0) FROM ticket_event WHERE kind = 'delivery_failed') AS failed, "
            "(SELECT coalesce(max(number), 0) FROM event_cursor WHERE name = 'undelivered') AS told"
        )
        if not rows:
            return "the store"
        r = rows[0]
        said = [
            (self.delivered() - r["arrivals"], "%d messages not taken in" % (self.delivered() - r["arrivals"])),
            (r["unacked"], "%d not acknowledged" % r["unacked"]),
            (r["mails"], "%d mails not sent" % r["mails"]),
            (r["failed"] > r["told"], "a mail that was given up is not told of"),
        ]
        return ", ".join(words for count, words in said if count)

    # --- the end

    def end_daemons(self):
        for daemon in self.daemons:
            code = daemon.stop()
            if code != 0:
                self.findings.add("failures", "daemon %d ended with %s at the end of the calm; see its log" % (daemon.number, code))
            with open(os.path.join(daemon.folder, "log"), errors="replace") as f:
                for line in f:
                    if "panicked" in line or "broke_off" in line:
                        self.findings.add("failures", "daemon %d: %s" % (daemon.number, line.strip()[:300]))

    def write_sources(self):
        """What lies in the mailboxes now, as their servers show it."""
        sources = {}
        for name, (protocol, handled) in BOXES.items():
            if protocol == "maildir":
                sources[name] = {"handled": handled, "inbox": self.local.tokens(), "done": [], "unseen": []}
                continue
            inbox, unseen = self.dovecot.holds(name, "INBOX")
            sources[name] = {"handled": handled, "inbox": inbox, "done": self.dovecot.holds(name, "Done")[0], "unseen": unseen}
        with open(os.path.join(self.folder, "sources.json"), "w") as f:
            json.dump(sources, f)

    def run(self):
        self.set_up()
        say("%s, %d daemons, %d faults, seed %s: %s" % (self.a.store, self.a.daemons, self.a.faults, self.a.seed, self.folder))
        threads = [threading.Thread(target=t, daemon=True) for t in (self.witness, self.impatient_admin, self.agents)]
        for thread in threads:
            thread.start()
        self.suffer()
        self.calm()
        self.end_daemons()
        self.is_over.set()
        for thread in threads:
            thread.join()
        self.write_sources()
        for words in self.sink.violations:
            self.findings.add("failures", "the sink: " + words)
        db = self.reader()
        torture_check.check(db, self.folder, self.findings)
        db.close()
        ends = [e for d in self.daemons for e in d.ends]
        say("%d lives of daemons; crash points met: %d, not met: %d; ended by themselves: %s; mails taken: %d, repeated: %d" % (
            sum(d.lives for d in self.daemons), self.points["met"], self.points["not met"],
            ", ".join(sorted(map(str, ends))) or "none", len(self.sink.taken),
            len(self.sink.taken) - len({(m["message_id"], *m["recipients"]) for m in self.sink.taken})))
        return self.findings

    def tear_down(self):
        self.is_calm.set()
        self.is_over.set()
        for daemon in self.daemons:
            daemon.go_on()
            daemon.kill()
        if self.postgres:
            self.postgres.stop(signal.SIGQUIT)
        if self.dovecot:
            # Its words are for whoever keeps the folder.
            with open(os.path.join(self.folder, "dovecot.log"), "w") as f:
                f.write(self.dovecot.words())
            self.dovecot.stop()


def tell(findings, messages, faults, seconds):
    for what, words in findings.all[:200]:
        print("%s: %s" % (what, words), file=sys.stderr)
    print(json.dumps({"messages": messages, "faults": faults, **findings.counts(), "seconds": round(seconds, 1)}), flush=True)
    return 1 if findings.all else 0


def check_kept(folder):
    """The checker alone, over what a run with --keep has left."""
    with open(os.path.join(folder, "run.json")) as f:
        run = json.load(f)
    postgres = None
    if run["store"] == "sqlite":
        db = torture_check.Sqlite(os.path.join(folder, "desk.db"))
    else:
        postgres = PostgreSQL(os.path.join(folder, "postgres"))
        db = torture_check.Postgres(postgres.url())
    try:
        checker = torture_check.Checker(db, folder, Findings())
        return tell(checker.run(), sum(len(m["boxes"]) for m in checker.manifest), run["faults"], time.monotonic() - BEGAN)
    finally:
        db.close()
        if postgres:
            postgres.stop()


def main():
    p = argparse.ArgumentParser(prog="scripts/torture")
    p.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    p.add_argument("--daemons", type=int, default=1)
    p.add_argument("--faults", type=int, default=20)
    p.add_argument("--seed", default="1")
    p.add_argument("--stop-s", type=float, default=4, help="how long a daemon is stopped: half to one and a half times")
    p.add_argument("--lease-s", type=int, default=3, help="how long what a daemon holds stays its own")
    p.add_argument("--calm-s", type=float, default=120, help="how long the calm may take")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--plants", action="store_true")
    p.add_argument("--check", metavar="FOLDER")
    p.add_argument("--program")
    a = p.parse_args()
    if a.check:
        sys.exit(check_kept(a.check))
    if a.daemons < 1 or (a.store == "sqlite" and a.daemons > 1):
        fail("SQLite is for one daemon: --daemons 1, or --store postgres", 64)
    if a.faults < 0:
        fail("--faults is 0 or more", 64)
    a.program = os.path.abspath(a.program)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="maildesk-torture-")
    torture = Torture(a, folder)
    code = 1
    try:
        findings = torture.run()
        if a.plants:
            import torture_plants
            torture_plants.plant_all(torture, say)
        code = tell(findings, torture.delivered(), a.faults, time.monotonic() - BEGAN)
    finally:
        torture.tear_down()
        if a.keep:
            print("kept: " + folder, file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
