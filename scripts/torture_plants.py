"""Errors planted into what a torture has left, to see that the checker reports each: what cannot be found proves nothing."""
import json, os, shutil, sqlite3, subprocess

import torture_check
from bench_peers import fail

# Name, what the checker must count, where it is planted, and how: SQL, or a change to a record.
# `{x}` stands for the answer of the question before.
PLANTS = (
    ("a lost message", "lost", "sql", "SELECT min(arrival_id) AS x FROM journal WHERE act = 'append'",
     ("DELETE FROM evidence WHERE arrival_id = {x}", "DELETE FROM journal WHERE arrival_id = {x}",
      "DELETE FROM attachment WHERE arrival_id = {x}", "DELETE FROM raw_mail WHERE arrival_id = {x}", "UPDATE log_entry SET arrival_id = NULL WHERE arrival_id = {x}",
      "DELETE FROM arrival WHERE id = {x}")),
    ("bytes that are not whole", "lost", "sql", "SELECT min(arrival_id) AS x FROM raw_mail WHERE chunk = 1",
     ("DELETE FROM raw_mail WHERE arrival_id = {x} AND chunk = 1",)),
    ("a message that is decided and stands nowhere", "lost", "sql", "SELECT max(arrival_id) AS x FROM invalid_ticket",
     ("DELETE FROM invalid_ticket WHERE arrival_id = {x}",)),
    ("a doubled message", "doubled", "sql", "SELECT min(arrival_id) AS x FROM journal WHERE act = 'open'",
     ("INSERT INTO log_entry (id, ticket_id, kind, arrival_id, author_address, author_name, subject, body, receivers, number, created_us) "
      "SELECT 1000000, ticket_id, kind, arrival_id, author_address, author_name, subject, body, receivers, number, created_us "
      "FROM log_entry WHERE arrival_id = {x}",)),
    ("a duplicate that opens a ticket", "doubled", "sql", "SELECT min(arrival_id) AS x FROM journal WHERE code = 'duplicate'",
     ("UPDATE journal SET act = 'open', code = 'new_ticket' WHERE arrival_id = {x}",)),
    ("a message on another's ticket", "misplaced", "sql", "SELECT min(arrival_id) AS x FROM journal WHERE act = 'append'",
     ("UPDATE journal SET ticket_id = (SELECT max(id) FROM ticket WHERE id <> journal.ticket_id) WHERE arrival_id = {x}",)),
    ("a message that was not counted", "balance", "sql", "SELECT min(id) AS x FROM mailbox", ("UPDATE mailbox SET shown = shown - 1 WHERE id = {x}",)),
    ("a hole in a log", "holes", "sql", "SELECT min(log_entry_id) AS x FROM journal WHERE act = 'append'",
     ("DELETE FROM attachment WHERE log_entry_id = {x}", "DELETE FROM log_entry WHERE id = {x}")),
    ("an orphan", "orphans", "sql", "SELECT min(ticket_id) AS x FROM participant", ("UPDATE participant SET ticket_id = 1000000 WHERE ticket_id = {x}",)),
    ("an orphan that no key forbids", "orphans", "sql", "SELECT max(number) AS x FROM ticket_event WHERE log_entry_id IS NOT NULL",
     ("UPDATE ticket_event SET log_entry_id = 1000000 WHERE number = {x}",)),
    ("a mail that was sent and never came", "missing_mails", "sink", lambda mails: [m for m in mails if m["message_id"] != mails[0]["message_id"]]),
    ("a mail that was never sent", "missing_mails", "sql", "SELECT min(outbox_id) AS x FROM outbox_recipient WHERE state = 'sent'",
     ("UPDATE outbox_recipient SET state = 'queued' WHERE outbox_id = {x}",)),
    ("a mail that was never owed", "missing_mails", "sql", "SELECT min(id) AS x FROM outbox WHERE purpose = 'notification'",
     ("DELETE FROM outbox_attempt WHERE outbox_id = {x}", "DELETE FROM outbox_recipient WHERE outbox_id = {x}", "DELETE FROM outbox WHERE id = {x}")),
    ("a doubled mail", "doubled_mails", "sink", lambda mails: mails + [dict(mails[0], n=len(mails) + n) for n in range(9)]),
    ("a mail under two Message-IDs", "doubled_mails", "sink",
     lambda mails: mails + [dict(next(m for m in mails if m["in_reply_to"]), n=len(mails) + 1, message_id="<md.1000000.1.0@example.com>")]),
    ("a mail that came in other bytes", "doubled_mails", "sink", lambda mails: [dict(m, digest="00") if m["size"] == min(m["size"] for m in mails) else m for m in mails]),
    ("an event that a reader did not see", "skipped_events", "witness",
     lambda looks: [dict(look, numbers=look["numbers"][:-1]) if look is looks[-1] else look for look in looks]),
    ("an event that is gone", "skipped_events", "sql",
     "SELECT min(e.number) AS x FROM ticket_event e WHERE NOT EXISTS (SELECT 1 FROM journal j WHERE j.number = e.number)",
     ("DELETE FROM ticket_event WHERE number = {x}",)),
    ("a cursor that ran ahead", "skipped_events", "sql", "SELECT count(*) AS x FROM event_cursor",
     ("DELETE FROM event_cursor WHERE name = 'planted'", "INSERT INTO event_cursor (name, number) VALUES ('planted', 1000000)")),
)


class OnSqlite:
    """The database is copied for each plant."""

    def __init__(self, torture):
        self.path = os.path.join(torture.folder, "desk.db")

    def plant(self, folder, question, statements):
        path = os.path.join(folder, "desk.db")
        source, copy = sqlite3.connect(self.path), sqlite3.connect(path, isolation_level=None)
        source.backup(copy)
        source.close()
        # As a program with a fault would leave it: no key holds a row back.
        copy.execute("PRAGMA foreign_keys = OFF")
        if question:
            x = copy.execute(question).fetchone()[0]
            if x is None:
                return None
            for statement in statements:
                copy.execute(statement.replace("{x}", str(x)))
        copy.close()
        return torture_check.Sqlite(path)


class OnPostgres:
    """The database is a template for each plant."""

    def __init__(self, torture):
        self.server, self.count = torture.postgres, 0
        self.server.hurry()

    def sql(self, statement, database):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, self.server.url(database)], capture_output=True)
        if done.returncode != 0:
            fail("a plant: %s: %s" % (statement, done.stderr.decode(errors="replace")))
        return done.stdout.decode().strip()

    def plant(self, folder, question, statements):
        self.count += 1
        name = "planted_%d" % self.count
        self.sql("CREATE DATABASE %s TEMPLATE desk" % name, "postgres")
        if question:
            x = self.sql(question, name)
            if not x:
                return None
            self.sql("; ".join(["SET session_replication_role = replica"] + [s.replace("{x}", x) for s in statements]), name)
        return torture_check.Postgres(self.server.url(name))


def plant_all(torture, say):
    on = OnSqlite(torture) if torture.a.store == "sqlite" else OnPostgres(torture)
    missed = []
    for n, (name, what, where, *how) in enumerate(PLANTS):
        folder = os.path.join(torture.folder, "plant-%d" % n)
        torture_check.snapshot(torture.folder, folder)
        if where == "sql":
            db = on.plant(folder, *how)
        else:
            db = on.plant(folder, None, ())
            path = os.path.join(folder, {"sink": "sink.jsonl", "witness": "witness.jsonl"}[where])
            planted = how[0](torture_check.lines_of(path))
            with open(path, "w") as f:
                f.writelines(json.dumps(line) + "\n" for line in planted)
        if db is None:
            missed.append("%s: this run left nothing to plant it into" % name)
            continue
        findings = torture_check.check(db, folder, torture_check.Findings())
        db.close()
        first = next((words for counted, words in findings.all if counted == what), None)
        say("planted: %s: %s" % (name, "%s: %s" % (what, first) if first else "NOT REPORTED; found: %s" % findings.all[:3]))
        if first is None:
            missed.append("%s was not reported" % name)
        shutil.rmtree(folder)
    for words in missed:
        torture.findings.add("failures", "planted: " + words)
