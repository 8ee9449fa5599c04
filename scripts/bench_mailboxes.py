#!/usr/bin/env python3
"""The measuring half of scripts/bench-mailboxes, which says what it is for."""
import json, os, random, sqlite3, time

from bench_peers import HEAD, MAILBOX, MESSAGE, Daemon, Dovecot, Place, arguments, deliver, desk, fail, wait_until

DOVECOT = """
default_process_limit = 2000
default_client_limit = 10000
service imap-login {
  service_count = 0
  process_min_avail = 2
}
"""


def user(n):
    return "box%d" % n


def run(a, dovecot, daemon):
    db_file = "file:%s?mode=ro" % os.path.join(daemon.folder, "desk.db")
    wait_until("the daemon starts", lambda: os.path.exists(os.path.join(daemon.folder, "maildesk.sock")), daemon)
    db = sqlite3.connect(db_file, uri=True, isolation_level=None)
    ready, cpu = time.time(), daemon.cpu_s()
    rounds = {user(n): [] for n in range(a.mailboxes)}
    dice, sent, end = random.Random(a.seed), 0, ready + a.minutes * 60
    # The last mail has two intervals to become a ticket.
    mail_ends = end - 2 * a.interval
    while time.time() < end:
        due = min(a.messages, int(a.messages * (time.time() - ready) / max(1, mail_ends - ready)))
        while sent < due:
            sent += 1
            to = user(dice.randrange(a.mailboxes))
            name = "%d.M%06dP1.bench" % (1760000000 + sent, sent)
            deliver(dovecot, to, name, MESSAGE.format(n=sent, salt=a.seed, user=to).encode())
        for name, last in db.execute("SELECT name, last_round_us FROM mailbox WHERE last_round_us IS NOT NULL"):
            if not rounds[name] or rounds[name][-1] < last:
                rounds[name].append(last)
        daemon.require_running()
        time.sleep(0.25)
    tickets = db.execute("SELECT count(*) FROM ticket").fetchone()[0]
    failing = db.execute("SELECT count(*) FROM mailbox WHERE failing_since_us IS NOT NULL").fetchone()[0]
    gaps, firsts = [], []
    for name, at in rounds.items():
        if not at:
            fail("%s was never read\n%s" % (name, daemon.words()))
        firsts.append(at[0] / 1e6 - ready)
        # From its first round to the end of the run.
        gaps.append(max(b - c for b, c in zip(at[1:] + [int(end * 1e6)], at)) / 1e6)
    count = sum(map(len, rounds.values()))
    out = {
        "mailboxes": a.mailboxes, "interval_s": a.interval, "idle": a.idle, "minutes": a.minutes, "rounds": count,
        "fewest_rounds": min(map(len, rounds.values())), "first_round_s": round(max(firsts), 1),
        "max_gap_s": round(max(gaps), 1), "messages": sent, "tickets": tickets, "failing": failing,
        "rss_mb": round(daemon.rss_mb(), 1), "cpu_s": round(daemon.cpu_s() - cpu, 1),
        "cpu_ms_per_round": round((daemon.cpu_s() - cpu) * 1e3 / count, 2),
    }
    print("%(mailboxes)d mailboxes: %(rounds)d rounds, at most %(max_gap_s).1f s apart; %(rss_mb).1f MB" % out)
    if tickets != sent:
        fail("%d messages became %d tickets\n%s" % (sent, tickets, daemon.words()))
    print(json.dumps(out), flush=True)


def main():
    p = arguments(messages=1000)
    p.add_argument("--mailboxes", type=int, default=500)
    p.add_argument("--interval", type=int, default=60)
    p.add_argument("--minutes", type=float, default=5)
    p.add_argument("--idle", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    if a.mailboxes < 1 or a.interval < 1 or a.minutes * 60 <= 3 * a.interval:
        fail("--mailboxes and --interval are at least 1, --minutes more than three intervals", 64)
    with Place("mailboxes", map(user, range(a.mailboxes))) as place:
        dovecot = place.started(Dovecot(place.mail, user(0), DOVECOT))
        more = "interval_s = %d\nidle = %s" % (a.interval, "true" if a.idle else "false")
        config = "".join(MAILBOX.format(user=user(n), port=dovecot.port, more=more) for n in range(a.mailboxes))
        daemon = place.started(Daemon(a.program, desk(os.path.join(place.work, "desk"), HEAD + config)))
        run(a, dovecot, daemon)


if __name__ == "__main__":
    main()
