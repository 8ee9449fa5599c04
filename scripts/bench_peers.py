"""What the benches share: a place to work in, a private Dovecot, a daemon that is watched, and words for what goes wrong."""
import argparse, contextlib, imaplib, os, pwd, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PASSWORD = "secret"
NAME = os.path.basename(sys.argv[0]).replace(".py", "").replace("_", "-")


def fail(words, code=1):
    print(NAME + ": " + words, file=sys.stderr)
    sys.exit(code)


def arguments(messages):
    """What every bench takes; it may add its own."""
    p = argparse.ArgumentParser(prog="scripts/" + NAME)
    p.add_argument("--messages", type=int, default=messages)
    p.add_argument("--program", type=os.path.abspath, required=True)
    return p


def tied(command, how="KILL"):
    """Ends with us, however we end."""
    return ["setpriv", "--pdeathsig", how] + command if shutil.which("setpriv") else command


def end(process, how=signal.SIGTERM):
    """Asks it to end, and sees to it that it does."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Place(contextlib.ExitStack):
    """Where a bench works. It goes at the end, with all that was started there; so it does when the bench is stopped."""

    def __init__(self, name, users):
        super().__init__()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.work = self.folder(work_folder(ROOT, name + "-"))
        # Not below the checkout, which may be in a home that Dovecot's user cannot enter; /var/tmp is a disk too.
        self.mail = self.folder(tempfile.mkdtemp(prefix="maildesk-mail-", dir="/var/tmp"))
        for user in users:
            for sub in ("new", "cur", "tmp"):
                os.makedirs(os.path.join(self.mail, user, sub))

    def folder(self, path):
        self.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def started(self, peer):
        self.callback(peer.stop)
        return peer


class Dovecot:
    """A private Dovecot 2.3, its sockets and its mail in folders where paths are short and everybody may look in."""

    def __init__(self, mail, user, more=""):
        """`user`: whose mailbox is opened to see that it is up. `more`: of its configuration."""
        self.mail, self.user, self.more, self.port = mail, user, more, free_port()
        self.run = tempfile.mkdtemp(prefix="maildesk-dovecot-")
        os.chmod(self.run, 0o755)
        root = os.getuid() == 0
        # Dovecot serves no mail as root, so then it belongs to somebody who owns nothing else.
        self.owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.getuid())
        self.own(mail)
        conf = os.path.join(self.run, "dovecot.conf")
        with open(conf, "w") as f:
            f.write(self.configuration(root))
        program = shutil.which("dovecot", path=os.environ["PATH"] + ":/usr/sbin") or fail("no dovecot", 69)
        command = tied([program, "-F", "-c", conf], "TERM")
        self.log = open(os.path.join(self.run, "stderr"), "wb")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)
        end = time.monotonic() + 20
        while True:
            try:
                self.touch()
                return
            except (OSError, ValueError, imaplib.IMAP4.error) as e:
                if self.process.poll() is not None or time.monotonic() > end:
                    words = self.words()
                    self.stop()
                    fail("Dovecot did not start: %s\n%s" % (e, words))
                time.sleep(0.02)

    def configuration(self, root):
        owner, group = self.owner.pw_name, self.owner.pw_gid
        users = "" if root else "default_internal_user = %s\ndefault_login_user = %s\n" % (owner, owner)
        chroot = "" if root else "chroot =\n"
        return users + f"""
base_dir = {self.run}/base
state_dir = {self.run}/state
log_path = {self.run}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{self.mail}/%u
mail_uid = {self.owner.pw_uid}
mail_gid = {group}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={self.owner.pw_uid} gid={group} home={self.mail}/%u
}}
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  {chroot}
}}
{self.more}
"""

    def words(self):
        out = []
        for name in ("log", "stderr"):
            try:
                with open(os.path.join(self.run, name), errors="replace") as f:
                    out.append(f.read()[-2000:])
            except OSError:
                pass
        return "\n".join(out)

    def touch(self):
        """Opens the mailbox once, so that its index is there before anybody is measured. Answers with its count."""
        client = imaplib.IMAP4("127.0.0.1", self.port)
        try:
            client.login(self.user, PASSWORD)
            return int(client.select("INBOX")[1][0])
        finally:
            client.logout()

    def own(self, folder):
        if os.getuid() == 0:
            for path, _, files in os.walk(folder):
                for name in [path] + [os.path.join(path, f) for f in files]:
                    os.chown(name, self.owner.pw_uid, self.owner.pw_gid)

    def stop(self):
        end(self.process)
        self.log.close()
        shutil.rmtree(self.run, ignore_errors=True)


def high_water(pid, program):
    try:
        if os.path.basename(os.readlink("/proc/%d/exe" % pid)) != os.path.basename(program):
            return 0
        with open("/proc/%d/status" % pid) as f:
            return int(next(l for l in f if l.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        return 0


def desk(folder, config):
    """The folder of a desk, on the disk of the checkout: what is measured waits for fsync."""
    os.makedirs(folder)
    for name, text in (("password", PASSWORD), ("config.toml", config)):
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    return folder


class Daemon:
    """`maildesk run` on a desk."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.log = open(os.path.join(folder, "log"), "wb")
        command = [program, "--config", os.path.join(folder, "config.toml"), "run"]
        self.process = subprocess.Popen(tied(command), stdout=self.log, stderr=self.log)

    def words(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()[-3000:]

    def require_running(self):
        if self.process.poll() is not None:
            fail("maildesk ended with %d\n%s" % (self.process.returncode, self.words()))

    def rss_mb(self):
        """The most memory that it has had resident."""
        return high_water(self.process.pid, self.program) / 1024

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        end(self.process)
        self.log.close()


def work_folder(root, prefix):
    """On the disk of the checkout, never in memory: what is measured waits for fsync."""
    parent = os.path.join(root, "target", "bench")
    os.makedirs(parent, exist_ok=True)
    return tempfile.mkdtemp(prefix=prefix, dir=parent)


def wait_until(what, is_so, daemon, patience_s=60):
    end = time.monotonic() + patience_s
    while not is_so():
        daemon.require_running()
        if time.monotonic() > end:
            fail("never: %s\n%s" % (what, daemon.words()))
        time.sleep(0.02)


def percentile(values, share):
    """The smallest value that so great a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def deliver(dovecot, user, name, message):
    """As an MTA delivers into a Maildir. Answers with the time at which the message is there."""
    box = os.path.join(dovecot.mail, user)
    tmp = os.path.join(box, "tmp", name)
    with open(tmp, "wb") as f:
        f.write(message)
    os.chmod(tmp, 0o666)
    if os.getuid() == 0:
        os.chown(tmp, dovecot.owner.pw_uid, dovecot.owner.pw_gid)
    arrived = time.time()
    os.rename(tmp, os.path.join(box, "new", name))
    return arrived


MESSAGE = """From: Customer {n} <customer{n}@example.net>
To: {user}@example.com
Message-ID: <{n}.{salt}@example.net>
Date: Sun, 22 Nov 2026 12:00:00 +0000
Subject: Question {n}

Good day,

this is question number {n}.
"""

START = """[store]
url = "sqlite:desk.db"

[keys]
file = "maildesk.key"

[run]
socket = "maildesk.sock"

"""

HEAD = START + """[[relay]]
name = "out"
kind = "folder"
path = "out"
sender = "support@example.com"

"""

MAILBOX = """[[mailbox]]
name = "{user}"
host = "127.0.0.1"
port = {port}
tls = "plain"
username = "{user}"
password_file = "password"
{more}

[[type]]
name = "{user}"
tag = "{user}"
mailbox = "{user}"
relay = "out"
addresses = ["{user}@example.com"]

"""
