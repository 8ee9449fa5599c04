"""The servers of a torture, and its daemons: each can be killed and started again on its port."""
import imaplib, os, pwd, re, shutil, signal, subprocess, sys, time

import bench_peers
from bench_peers import PASSWORD, deliver, fail, free_port, tied


def wait_for(what, is_so, seconds=30, pause=0.05):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            fail("never within %d s: %s" % (seconds, what))
        time.sleep(pause)


class Dovecot(bench_peers.Dovecot):
    """With POP3, and the mailboxes of `boxes` (name → protocol), `Done` in each."""

    def __init__(self, mail, boxes):
        self.boxes, self.pop3 = boxes, free_port()
        for box in boxes:
            for folder in ("", ".Done"):
                for sub in ("new", "cur", "tmp"):
                    os.makedirs(os.path.join(mail, box, folder, sub))
        more = """
protocols = imap pop3
mail_fsync = never
default_vsz_limit = 0
auth_failure_delay = 0
imap_idle_notify_interval = 2 s
namespace inbox {
  inbox = yes
  separator = /
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service pop3-login {
  inet_listener pop3 {
    port = %d
  }
  inet_listener pop3s {
    port = 0
  }
}
protocol pop3 {
  pop3_uidl_format = %%08Xu%%08Xv
}
""" % self.pop3
        super().__init__(mail, next(iter(boxes)), more)

    def restart(self, how):
        self.process.send_signal(how)
        self.process.wait()
        # A killed master leaves its children; its next life removes their sockets.
        self.process = subprocess.Popen(self.process.args, stderr=self.log, stdout=self.log)

    def require_up(self):
        def is_up():
            if self.process.poll() is not None:
                self.process = subprocess.Popen(self.process.args, stderr=self.log, stdout=self.log)
            try:
                return self.touch() >= 0
            except (OSError, ValueError, imaplib.IMAP4.error):
                return False
        wait_for("Dovecot is up again", is_up)

    def put(self, box):
        count = [0]

        def put(content):
            count[0] += 1
            deliver(self, box, "%d.M%06dP1.torture" % (1760000000 + count[0], count[0]), content)
        return put

    def holds(self, box, folder):
        """The tokens in a folder, and those of them that are not marked as seen, as IMAP shows them."""
        client = imaplib.IMAP4("127.0.0.1", self.port)
        client.login(box, PASSWORD)
        tokens, unseen = [], []
        answer, count = client.select(folder, readonly=True)
        if answer == "OK" and int(count[0]) > 0:
            for part in client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (X-Torture)])")[1] or []:
                if isinstance(part, tuple):
                    token = part[1].decode().partition(":")[2].strip()
                    tokens.append(token)
                    if rb"\Seen" not in part[0]:
                        unseen.append(token)
        client.logout()
        return tokens, unseen


class Folder:
    """A Maildir on this machine."""

    def __init__(self, path):
        self.path, self.count = path, 0
        for sub in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(path, sub))

    def put(self, content):
        self.count += 1
        name = "%d.M%06dP1.torture" % (1760000000 + self.count, self.count)
        with open(os.path.join(self.path, "tmp", name), "wb") as f:
            f.write(content)
        os.rename(os.path.join(self.path, "tmp", name), os.path.join(self.path, "new", name))

    def tokens(self):
        found = []
        for sub in ("new", "cur"):
            for name in os.listdir(os.path.join(self.path, sub)):
                with open(os.path.join(self.path, sub, name), "rb") as f:
                    token = re.search(rb"^X-Torture: (T\d+)", f.read(), re.M)
                    found.append(token.group(1).decode() if token else name)
        return found


class PostgreSQL:
    """A private cluster that writes to the disk as one should; the database is `desk`."""

    settings = ("shared_buffers=64MB", "log_min_messages=warning", "autovacuum_naptime=10min")

    def __init__(self, folder):
        versions = sorted((int(v), v) for v in os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") else []
        found = shutil.which("initdb")
        self.bin = "/usr/lib/postgresql/%s/bin" % versions[-1][1] if versions else os.path.dirname(found) if found else fail("no PostgreSQL here: apt-get install postgresql", 69)
        self.folder, self.data, self.port = folder, os.path.join(folder, "data"), free_port()
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        self.process, self.more = None, ()
        if not os.path.isdir(self.data):
            os.makedirs(folder, exist_ok=True)
            if self.user:
                os.chown(folder, self.user.pw_uid, self.user.pw_gid)
            made = subprocess.run([os.path.join(self.bin, "initdb"), "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                                   "--locale=C", "--no-sync"], cwd=folder, capture_output=True, **self.become())
            made.returncode == 0 or fail("initdb: " + made.stderr.decode(errors="replace"))
            self.start()
            subprocess.run(["psql", "-X", "-q", "-c", "CREATE DATABASE desk TEMPLATE template0", self.url("postgres")], check=True)
        else:
            self.start()

    def become(self):
        # PostgreSQL refuses to run as root.
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def url(self, database="desk", port=None):
        return "postgres://postgres@127.0.0.1:%d/%s" % (port or self.port, database)

    def start(self):
        where = ("port=%d" % self.port, "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200")
        settings = [a for s in where + self.settings + self.more for a in ("-c", s)]
        command = [os.path.join(self.bin, "postgres"), "-D", self.data] + settings
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(tied(command), cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self.become())

        def is_ready():
            if self.process.poll() is not None:
                fail("PostgreSQL ended: see " + os.path.join(self.folder, "log"))
            try:
                with open(os.path.join(self.data, "postmaster.pid")) as f:
                    return f.read().split("\n")[7].strip() == "ready"
            except (OSError, IndexError):
                return False
        wait_for("PostgreSQL is ready", is_ready, 60)

    def stop(self, how=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def restart(self, how):
        self.stop(how)
        self.start()

    def hurry(self):
        """What is written from now on need not outlive anything."""
        self.more = ("fsync=off", "full_page_writes=off")
        self.restart(signal.SIGINT)


class Daemon:
    """One `maildesk run`. Whoever watches it starts it again, as systemd would."""

    def __init__(self, number, program, folder):
        self.number, self.program, self.folder = number, program, folder
        self.process, self.armed, self.stopped_until = None, "", 0.0
        self.lives, self.ends = 0, []
        self.rest_until, self.armed_until = 0.0, 0.0

    def command(self, *arguments):
        return [self.program, "--config", os.path.join(self.folder, "config.toml")] + list(arguments)

    def start(self, armed=""):
        environment = {k: v for k, v in os.environ.items() if k != "MAILDESK_CRASH_AT"}
        if armed:
            environment["MAILDESK_CRASH_AT"] = armed
        with open(os.path.join(self.folder, "log"), "ab") as log:
            log.write(b"--- life %d %s\n" % (self.lives, armed.encode()))
            log.flush()
            self.process = subprocess.Popen(tied(self.command("run")), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        self.armed, self.lives, self.stopped_until = armed, self.lives + 1, 0.0

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def pause(self, seconds):
        if self.is_running():
            self.process.send_signal(signal.SIGSTOP)
            self.stopped_until = time.monotonic() + seconds

    def go_on(self):
        self.stopped_until = 0.0
        if self.is_running():
            self.process.send_signal(signal.SIGCONT)

    def stop(self, patience=45):
        """Asks it to end (SIGTERM). Gives its exit code; None: it had to be killed."""
        if not self.is_running():
            return 0
        self.go_on()
        self.process.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
