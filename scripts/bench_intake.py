#!/usr/bin/env python3
"""The measuring half of scripts/bench-intake, which says what it is for."""
import json, os, shutil, signal, statistics, subprocess, sys, time

from bench_peers import MAILBOX, PASSWORD, ROOT, START, Dovecot, Place, arguments, desk, fail, high_water

USER = "support"


class Bench:
    def __init__(self, a, place):
        self.a, self.work, self.mail = a, place.work, place.mail
        self.dovecot = place.started(Dovecot(self.mail, USER))
        self.desk = os.path.join(self.work, "desk")
        self.seeds = min(200, max(1, a.messages // 10))

    def generate(self, name, *more):
        out = os.path.join(self.work, name)
        command = [sys.executable, self.a.generator, out, "-n", str(self.a.messages), "--seeds", str(self.seeds)]
        subprocess.run(command + list(more), check=True, stdout=subprocess.DEVNULL)
        return out

    def fill(self, source):
        """Copies the messages into the mailbox under the names that Dovecot's own delivery gives, with their sizes."""
        new = os.path.join(self.mail, USER, "new")
        for i, name in enumerate(sorted(os.listdir(source)), 1):
            path = os.path.join(source, name)
            size = os.path.getsize(path)
            with open(path, "rb") as f:
                lines = f.read().count(b"\n")
            shutil.copyfile(path, "%s/%d.M%06dP1.bench,S=%d,W=%d" % (new, 1760000000 + i, i, size, size + lines))

    def restore(self, source):
        """The mailbox as it was after the seeds, with the main mail in it, indexed; the disk quiet."""
        box = os.path.join(self.mail, USER)
        shutil.rmtree(box)
        shutil.copytree(os.path.join(self.work, "box-after-seeds"), box)
        self.fill(source)
        self.dovecot.own(box)
        found = self.dovecot.touch()
        if found != self.a.messages:
            fail("%d messages in the mailbox instead of %d" % (found, self.a.messages))
        os.sync()

    def maildesk(self, desk, *arguments):
        command = [self.a.program, "--config", os.path.join(desk, "config.toml")] + list(arguments)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            fail("maildesk %s ended with %d\n%s" % (" ".join(arguments), done.returncode, done.stderr.decode()))
        return json.loads(done.stdout) if "--json" in arguments else None

    def prepare(self):
        """A desk that has taken the seeds in, and the main mail whose replies carry the seeds' tag lines."""
        mailbox = MAILBOX.format(user=USER, port=self.dovecot.port, more="").rstrip()
        desk(self.desk, START + RELAY + mailbox + '\nadmin = "admin@example.com"\n')
        seeds = self.generate("seeds")
        self.fill(os.path.join(seeds, "seed-Maildir", "new"))
        self.dovecot.own(self.mail)
        self.maildesk(self.desk, "poll", "--json")
        if self.dovecot.touch() != 0:
            fail("maildesk left seeds in the mailbox")
        tickets = self.maildesk(self.desk, "ticket", "list", "--json")
        tags = os.path.join(self.work, "tags")
        with open(tags, "w") as f:
            for n in range(1, self.seeds + 1):
                of_seed = [t["tag_line"] for t in tickets if "s%06dq" % n in t["subject"]]
                if len(of_seed) != 1:
                    fail("%d tickets of seed %d" % (len(of_seed), n))
                f.write(of_seed[0] + "\n")
        shutil.copytree(os.path.join(self.mail, USER), os.path.join(self.work, "box-after-seeds"))
        return os.path.join(self.generate("main", "--tags", tags), "Maildir", "new")

    def run_maildesk(self, source):
        self.restore(source)
        desk = os.path.join(self.work, "desk-run")
        shutil.rmtree(desk, ignore_errors=True)
        shutil.copytree(self.desk, desk)
        config = os.path.join(desk, "config.toml")
        figures = measure([self.a.program, "--config", config, "poll", "--json"], os.path.join(self.work, "maildesk.log"))
        rows = len(self.maildesk(desk, "journal", "list", "--json"))
        if rows != self.a.messages + self.seeds:
            fail("the journal has %d rows instead of %d" % (rows, self.a.messages + self.seeds))
        if self.dovecot.touch() != 0:
            fail("maildesk left messages in the mailbox")
        return figures

    def run_mbsync(self, source):
        self.restore(source)
        target = os.path.join(self.work, "mbsync")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(os.path.join(target, "mail"))
        rc = os.path.join(target, "rc")
        with open(rc, "w") as f:
            f.write(MBSYNC.format(port=self.dovecot.port, user=USER, password=PASSWORD, target=target))
        figures = measure(["mbsync", "-q", "-c", rc, "copy"], os.path.join(self.work, "mbsync.log"))
        inbox = os.path.join(target, "mail", "INBOX")
        copied = sum(len(os.listdir(os.path.join(inbox, d))) for d in ("new", "cur"))
        if copied != self.a.messages:
            fail("mbsync copied %d messages of %d" % (copied, self.a.messages))
        return figures

    def run(self):
        source = self.prepare()
        megabytes = sum(e.stat().st_size for e in os.scandir(source)) / 1e6
        runs = {"maildesk": [], "mbsync": []}
        print("%d messages, %.1f MB, after %d seeds" % (self.a.messages, megabytes, self.seeds))
        print("%-6s %-9s %9s %9s %9s %14s %8s" % ("round", "", "wall s", "user s", "sys s", "ms CPU/message", "RSS MB"))
        begun = time.monotonic()
        first = self.pair(source, "first")
        while time.monotonic() - begun < self.a.warm_up:
            self.pair(source, "warm")
        for n in range(1, self.a.rounds + 1):
            for name, figures in self.pair(source, n).items():
                runs[name].append(figures)
        self.summary(first, runs)

    def pair(self, source, n):
        of_pair = {}
        for name, run in (("maildesk", self.run_maildesk), ("mbsync", self.run_mbsync)):
            of_pair[name] = run(source)
            self.line(n, name, of_pair[name])
        return of_pair

    def line(self, n, name, r):
        per = cpu(r) * 1e3 / self.a.messages
        print("%-6s %-9s %9.2f %9.2f %9.2f %14.3f %8.1f" % (n, name, r["wall"], r["user"], r["sys"], per, r["rss_mb"]), flush=True)

    def summary(self, first, runs):
        out = {"messages": self.a.messages}
        out.update(ratios(runs["maildesk"], runs["mbsync"]))
        out["first_pair"] = ratios([first["maildesk"]], [first["mbsync"]])
        for name, of_it in runs.items():
            middle = {k: statistics.median(r[k] for r in of_it) for k in of_it[0]}
            self.line("median", name, middle)
            ms = statistics.median(map(cpu, of_it)) * 1e3 / self.a.messages
            out[name] = {"wall_s": round(middle["wall"], 3), "cpu_ms_per_message": round(ms, 3),
                         "rss_mb": round(max(r["rss_mb"] for r in of_it), 1)}
        said = "%s: wall %.2f of mbsync, CPU %.2f of mbsync"
        print(said % ("the first pair, on the disk as it was", *out["first_pair"].values()))
        print(said % ("medians of the pairs (RSS is the largest)", out["wall_ratio"], out["cpu_ratio"]))
        print(json.dumps(out), flush=True)


def cpu(figures):
    return figures["user"] + figures["sys"]


def ratios(ours, theirs):
    """Of each pair, so that what else the machine does falls on both."""
    ratio = lambda of: round(statistics.median(of(a) / of(b) for a, b in zip(ours, theirs)), 3)
    return {"wall_ratio": ratio(lambda r: r["wall"]), "cpu_ratio": ratio(cpu)}


def measure(command, log):
    """Wall, CPU and peak memory of a command with its children."""
    # The kernel carries the memory of the forking process over to the child's ru_maxrss. Where the child stays below
    # that, its own high-water mark, looked at while it runs, is the better figure.
    with open("/proc/self/status") as f:
        floor = int(next(l for l in f if l.startswith("VmHWM")).split()[1])
    high = 0
    begun = time.monotonic()
    with open(log, "wb") as out:
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                os.execvp(command[0], command)
            finally:
                os._exit(127)
    try:
        while True:
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                break
            high = max(high, high_water(pid, command[0]))
            time.sleep(0.002)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    wall = time.monotonic() - begun
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        with open(log, errors="replace") as f:
            fail("%s ended with %d\n%s" % (command[0], code, f.read()[-3000:]))
    rss = usage.ru_maxrss if usage.ru_maxrss > floor or not high else high
    return {"wall": wall, "user": usage.ru_utime, "sys": usage.ru_stime, "rss_mb": rss / 1024}


# Nobody listens there: what is queued is not sent.
RELAY = """[[relay]]
name = "out"
host = "127.0.0.1"
port = 9
tls = "plain"
sender = "support@example.com"
verp = true

"""

MBSYNC = """IMAPAccount bench
Host 127.0.0.1
Port {port}
User {user}
Pass {password}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account bench

MaildirStore near
Path {target}/mail/
Inbox {target}/mail/INBOX

Channel copy
Far :far:INBOX
Near :near:INBOX
Create Near
Sync Pull New
SyncState *
"""


def main():
    p = arguments(messages=2000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--warm-up", type=float, default=60)
    a = p.parse_args()
    if a.messages < 1 or a.rounds < 1:
        fail("--messages and --rounds are at least 1", 64)
    bench = os.environ.get("MAILDESK_BENCH") or os.path.join(ROOT, "..", "shared", "bench")
    a.generator = os.path.join(bench, "gen.py")
    if not os.path.isfile(a.generator):
        fail("no gen.py in %s; MAILDESK_BENCH names its folder" % bench, 69)
    with Place("intake", (USER,)) as place:
        Bench(a, place).run()


if __name__ == "__main__":
    main()
