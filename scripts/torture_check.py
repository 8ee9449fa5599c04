"""The checker of a torture. It reads the database and what the servers and the sink hold, and nothing that maildesk says of
itself; and compares that with what was delivered."""
import collections, glob, hashlib, json, os, re, shutil, sqlite3, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COUNTS = ("lost", "doubled", "misplaced", "balance", "holes", "orphans", "missing_mails", "doubled_mails", "skipped_events", "failures")
ADMIN, COPY = "admin@team.test", "copy@team.test"


class Sqlite:
    def __init__(self, path):
        self.db = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=20, isolation_level=None)
        self.db.row_factory = lambda cursor, row: {d[0]: v for d, v in zip(cursor.description, row)}

    def rows(self, sql):
        return self.db.execute(sql).fetchall()

    def close(self):
        self.db.close()


class Postgres:
    """By psql: a row is a line of JSON."""

    def __init__(self, url):
        self.url = url

    def rows(self, sql):
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", "SELECT row_to_json(one_row) FROM (%s) one_row" % sql, self.url]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise OSError(done.stderr.decode(errors="replace").strip())
        return [{k: unhexed(v) for k, v in json.loads(line).items()} for line in done.stdout.decode().splitlines() if line]

    def close(self):
        pass


def unhexed(value):
    """bytea as row_to_json writes it."""
    if isinstance(value, str) and re.fullmatch(r"\\x(?:[0-9a-f]{2})*", value):
        return bytes.fromhex(value[2:])
    return value


class Findings:
    """What is wrong, each in words, counted by what it is."""

    def __init__(self):
        self.all = []

    def add(self, what, words):
        assert what in COUNTS, what
        self.all.append((what, words))

    def counts(self):
        found = collections.Counter(what for what, _ in self.all)
        return {what: found[what] for what in COUNTS}


def schema():
    """Table → columns, and the references: (table, column, table, column). From the migrations, as both engines have them."""
    columns, references = {}, []
    for path in sorted(glob.glob(os.path.join(ROOT, "migrations", "sqlite", "*.sql"))):
        with open(path) as f:
            for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", f.read(), re.S):
                columns[table] = []
                for line in body.split("\n"):
                    words = line.split("--")[0].strip().rstrip(",").split()
                    if len(words) < 2 or words[0] in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
                        continue
                    columns[table].append(words[0])
                    declared = re.search(r"REFERENCES (\w+) \((\w+)\)", line)
                    if declared:
                        references.append((table, words[0]) + declared.groups())
    # Those that are meant without being declared. What a mail merely names may be nothing (`named_ticket_id`).
    known = {"ticket_id": "ticket", "log_entry_id": "log_entry", "type_id": "ticket_type", "arrival_id": "arrival",
             "original_arrival_id": "arrival", "superseded_by": "arrival", "bounce_id": "bounce", "outbox_id": "outbox",
             "mailbox_id": "mailbox", "contact_id": "contact"}
    declared = {(table, column) for table, column, _, _ in references}
    for table, names in columns.items():
        for column in names:
            if column in known and (table, column) not in declared:
                references.append((table, column, known[column], "id"))
    return columns, references


def lines_of(path):
    with open(path) as f:
        return [json.loads(line) for line in f if line.strip()]


class Checker:
    def __init__(self, db, folder, findings):
        self.db, self.f = db, findings
        self.manifest = lines_of(os.path.join(folder, "manifest.jsonl"))
        self.sink = lines_of(os.path.join(folder, "sink.jsonl"))
        self.answers = lines_of(os.path.join(folder, "answers.jsonl"))
        self.witness = lines_of(os.path.join(folder, "witness.jsonl"))
        with open(os.path.join(folder, "sources.json")) as f:
            self.sources = json.load(f)
        self.columns, self.references = schema()
        self.by_token = collections.defaultdict(list)  # deliveries: one for each copy
        for line in self.manifest:
            self.by_token[line["token"]] += [(line, box) for box in line["boxes"]]

    def run(self):
        self.read()
        for check in (self.raw, self.places, self.fates, self.at_the_source, self.balance, self.logs, self.orphans,
                      self.mails, self.owed, self.answered, self.events):
            check()
        return self.f

    def read(self):
        rows = self.db.rows
        self.mailboxes = {m["id"]: m for m in rows("SELECT id, name, shown, handled FROM mailbox")}
        self.arrivals = {a["id"]: a for a in rows("SELECT id, mailbox_id, state, size, digest, source_id FROM arrival")}
        self.journal = {j["arrival_id"]: j for j in rows("SELECT * FROM journal")}
        self.entries = {e["id"]: e for e in rows("SELECT id, ticket_id, kind, arrival_id, number FROM log_entry")}
        self.tickets = {t["id"]: t for t in rows("SELECT id, type_id, contact_id, number, deleted FROM ticket")}
        self.invalid = rows("SELECT id, arrival_id, state FROM invalid_ticket")
        self.errors = rows("SELECT id, arrival_id, code FROM error_ticket")
        self.bounces = rows("SELECT id, arrival_id FROM bounce")
        self.outbox = {o["id"]: o for o in rows(
            "SELECT id, purpose, ticket_id, log_entry_id, message_id, literal, segments, operation, state FROM outbox")}
        self.recipients = collections.defaultdict(list)
        for r in rows("SELECT outbox_id, address, state, code, words FROM outbox_recipient"):
            self.recipients[r["outbox_id"]].append(r)
        self.attempts = collections.defaultdict(list)
        for a in rows("SELECT id, outbox_id, state, possibly_repeated, code FROM outbox_attempt"):
            self.attempts[a["outbox_id"]].append(a)

    def named(self, arrival):
        a = self.arrivals[arrival]
        token = self.token_of.get(arrival, "no token")
        return "arrival %d (%s, mailbox %s, %s)" % (arrival, token, self.mailboxes.get(a["mailbox_id"], {}).get("name"), a["source_id"])

    # --- messages

    def raw(self):
        """What was kept is what was delivered, byte for byte; chunks are whole."""
        self.token_of = {}
        chunks = collections.defaultdict(list)
        ids = sorted(self.arrivals)
        for at in range(0, len(ids), 100):
            some = ids[at:at + 100]
            for row in self.db.rows("SELECT arrival_id, chunk, bytes FROM raw_mail WHERE arrival_id BETWEEN %d AND %d "
                                    "ORDER BY arrival_id, chunk" % (some[0], some[-1])):
                chunks[row["arrival_id"]].append((row["chunk"], row["bytes"]))
            for arrival in some:
                self.raw_of(arrival, chunks.pop(arrival, []))

    def raw_of(self, arrival, chunks):
        a = self.arrivals[arrival]
        content = b"".join(c for _, c in chunks)
        found = re.search(rb"^X-Torture: (T\d+)\r?$", content.partition(b"\r\n\r\n")[0], re.M)
        if found:
            self.token_of[arrival] = found.group(1).decode()
        if not chunks:
            return self.f.add("lost", "%s has no bytes" % self.named(arrival))
        if [n for n, _ in chunks] != list(range(len(chunks))):
            self.f.add("lost", "%s lacks chunks: it has %s" % (self.named(arrival), [n for n, _ in chunks]))
        digest = hashlib.sha256(content)
        if digest.digest() != a["digest"] or len(content) != a["size"]:
            self.f.add("lost", "%s: its bytes are not those that it says it has (%d of %d)" % (self.named(arrival), len(content), a["size"]))
        delivered = {line["digest"] for line, _ in self.by_token.get(self.token_of.get(arrival), [])}
        if digest.hexdigest() not in delivered:
            self.f.add("lost", "%s: its bytes are not those that were delivered" % self.named(arrival))

    def places(self):
        """Each message exactly once in exactly one place; its further copies are duplicates."""
        at = {"open": collections.Counter(e["arrival_id"] for e in self.entries.values() if e["arrival_id"]),
              "invalid": collections.Counter(i["arrival_id"] for i in self.invalid),
              "error": collections.Counter(e["arrival_id"] for e in self.errors),
              "bounce": collections.Counter(b["arrival_id"] for b in self.bounces)}
        at["append"] = at["open"]
        by_token = collections.defaultdict(list)
        for arrival in self.arrivals:
            by_token[self.token_of.get(arrival)].append(arrival)
        self.place_of = {}
        for token, deliveries in sorted(self.by_token.items()):
            arrivals = by_token.pop(token, [])
            want = collections.Counter(box for _, box in deliveries)
            have = collections.Counter(self.mailboxes[self.arrivals[a]["mailbox_id"]]["name"] for a in arrivals)
            for box in want | have:
                if have[box] < want[box]:
                    self.f.add("lost", "%s (%s): delivered %d times into %s, taken in %d times" % (token, deliveries[0][0]["kind"], want[box], box, have[box]))
                if have[box] > want[box]:
                    self.f.add("doubled", "%s (%s): delivered %d times into %s, taken in %d times" % (token, deliveries[0][0]["kind"], want[box], box, have[box]))
            stands = []
            for arrival in arrivals:
                j = self.journal.get(arrival)
                if j is None:
                    self.f.add("lost", "%s, state %s, is in no journal: nobody decided it" % (self.named(arrival), self.arrivals[arrival]["state"]))
                    continue
                self.one_place(arrival, j, at)
                if j["act"] != "discard" and j["superseded_by"] is None:
                    stands.append(arrival)
            if len(stands) > 1:
                self.f.add("doubled", "%s stands %d times: %s" % (token, len(stands), "; ".join("%s as %s" % (self.named(a), self.journal[a]["act"]) for a in stands)))
            if arrivals and not stands:
                self.f.add("lost", "%s stands nowhere: all its copies are discarded" % token)
            self.place_of[token] = stands[0] if stands else None
        for token, arrivals in by_token.items():
            for arrival in arrivals:
                self.f.add("doubled", "%s: nobody delivered that" % self.named(arrival))

    def one_place(self, arrival, j, at):
        for act in ("open", "invalid", "error", "bounce"):
            count = at[act][arrival]
            is_here = j["act"] == act or (act == "open" and j["act"] == "append")
            if is_here and count == 0:
                self.f.add("lost", "%s is journalled as %s (%s), and no such row stands" % (self.named(arrival), j["act"], j["code"]))
            # A report is a row for each recipient and an entry; here each names one.
            if (is_here and count > 1) or (not is_here and count > 0 and not (act == "open" and j["act"] == "bounce" and count == 1)):
                self.f.add("doubled", "%s is journalled as %s (%s), and stands %d times as %s" % (self.named(arrival), j["act"], j["code"], count, act))

    def fates(self):
        """What became of a message is what it is; an answer stands on the ticket that it answers."""
        from torture_mail import KINDS
        for token, deliveries in self.by_token.items():
            arrival = self.place_of.get(token)
            if arrival is None:
                continue
            line, j = deliveries[0][0], self.journal[arrival]
            fate = "%s/%s" % (j["act"], j["code"])
            allowed = KINDS[line["kind"]]["of"] or {"open/new_ticket"}
            if fate not in allowed:
                self.f.add("misplaced", "%s, a %s, became %s" % (self.named(arrival), line["kind"], fate))
            root = self.place_of.get(line["root"]) if line["root"] else None
            if root is not None and self.journal[root]["ticket_id"] != j["ticket_id"]:
                self.f.add("misplaced", "%s is on ticket %s, and belongs to %s on ticket %s" % (
                    self.named(arrival), j["ticket_id"], line["root"], self.journal[root]["ticket_id"]))

    def at_the_source(self):
        """What is handled has left its mailbox, and nothing else has."""
        for a in self.arrivals.values():
            if a["state"] != "acked":
                self.f.add("lost", "%s is %s at the end: its source was not told" % (self.named(a["id"]), a["state"]))
        for box, found in self.sources.items():
            want = collections.Counter(token for token, deliveries in self.by_token.items() for _, b in deliveries if b == box)
            inbox, done = collections.Counter(found["inbox"]), collections.Counter(found["done"])
            handled = found["handled"]
            if handled in ("delete", "move"):
                for token in inbox:
                    self.f.add("lost", "%s is still in mailbox %s" % (token, box))
            kept_in = {"move": done, "seen": inbox}.get(handled)
            for token in (want | kept_in) if kept_in is not None else ():
                if kept_in[token] != want[token]:
                    self.f.add("lost" if kept_in[token] < want[token] else "doubled", "%s: mailbox %s (%s) has it %d times, %d were delivered" % (
                        token, box, handled, kept_in[token], want[token]))
            for token in found["unseen"] if handled == "seen" else ():
                self.f.add("lost", "%s in mailbox %s is not marked as seen" % (token, box))

    def balance(self):
        """Per mailbox: shown = taken in = delivered."""
        for m in self.mailboxes.values():
            delivered = sum(1 for deliveries in self.by_token.values() for _, box in deliveries if box == m["name"])
            taken = sum(1 for a in self.arrivals.values() if a["mailbox_id"] == m["id"] and a["id"] in self.journal)
            if not delivered == taken == m["shown"]:
                self.f.add("balance", "mailbox %s: %d delivered, %d shown, %d accounted for" % (m["name"], delivered, m["shown"], taken))

    def logs(self):
        """Journal and log say the same; each entry has its event; numbers rise with the entries of a ticket."""
        events = collections.defaultdict(set)
        for e in self.db.rows("SELECT number, ticket_id, log_entry_id, kind FROM ticket_event"):
            events[e["log_entry_id"]].add(e["ticket_id"])
        by_ticket = collections.defaultdict(list)
        for e in sorted(self.entries.values(), key=lambda e: e["id"]):
            by_ticket[e["ticket_id"]].append(e)
            j = self.journal.get(e["arrival_id"]) if e["arrival_id"] else None
            if e["arrival_id"] and (j is None or j["log_entry_id"] != e["id"] or j["ticket_id"] != e["ticket_id"]):
                self.f.add("holes", "log entry %d on ticket %d: the journal of arrival %s does not know it" % (e["id"], e["ticket_id"], e["arrival_id"]))
            if e["arrival_id"] and e["ticket_id"] not in events[e["id"]]:
                self.f.add("holes", "log entry %d on ticket %d has no event" % (e["id"], e["ticket_id"]))
        for j in self.journal.values():
            if j["act"] in ("open", "append") and j["log_entry_id"] not in self.entries:
                self.f.add("holes", "ticket %s: log entry %s of %s is not there" % (j["ticket_id"], j["log_entry_id"], self.named(j["arrival_id"])))
        for ticket in self.tickets:
            log = by_ticket[ticket]
            if not log or not any(self.journal.get(e["arrival_id"], {}).get("act") == "open" for e in log if e["arrival_id"]):
                self.f.add("holes", "ticket %d has no entry that opened it" % ticket)
            if [e["number"] for e in log] != sorted(e["number"] for e in log):
                self.f.add("holes", "ticket %d: the numbers of its entries do not rise" % ticket)

    def orphans(self):
        asked = ["SELECT '%s' AS t, '%s' AS c, '%s' AS other, x.%s AS missing FROM %s x WHERE x.%s IS NOT NULL AND NOT EXISTS "
                 "(SELECT 1 FROM %s y WHERE y.%s = x.%s)" % (table, column, other, column, table, column, other, key, column)
                 for table, column, other, key in self.references]
        # SQLite takes no more than 500 of them; and a question that can be read is a help where it fails.
        for at in range(0, len(asked), 20):
            for row in self.db.rows(" UNION ALL ".join(asked[at:at + 20])):
                self.f.add("orphans", "%s.%s = %s, and no such row in %s" % (row["t"], row["c"], row["missing"], row["other"]))
        for row in self.db.rows("SELECT j.arrival_id AS id FROM journal j WHERE NOT EXISTS (SELECT 1 FROM evidence e WHERE e.arrival_id = j.arrival_id)"):
            self.f.add("orphans", "arrival %d is decided without evidence" % row["id"])
        for outbox in self.outbox:
            if not self.recipients[outbox]:
                self.f.add("orphans", "outbox mail %d has no recipient" % outbox)

    # --- mails

    def mails(self):
        """Each row of the outbox reached each recipient once, or says why not; and the sink has no mail without a row."""
        by_id = {o["message_id"].strip("<>"): o for o in self.outbox.values()}
        taken, first = collections.defaultdict(list), {}
        for mail in self.sink:
            o = by_id.get(mail["message_id"].strip("<>"))
            if o is None:
                self.f.add("doubled_mails", "mail %d of the sink, %s to %s: no row of the outbox has its Message-ID" % (mail["n"], mail["message_id"], mail["recipients"]))
                continue
            # One with an attachment is put together on its way; then its copies are compared with each other.
            is_whole = all("literal" in s for s in json.loads(o["segments"]))
            digest = hashlib.sha256(o["literal"]).hexdigest() if is_whole else first.setdefault(o["id"], mail["digest"])
            if mail["digest"] != digest:
                self.f.add("doubled_mails", "mail %d of the sink is not byte for byte outbox mail %d" % (mail["n"], o["id"]))
            for recipient in mail["recipients"]:
                taken[o["id"], recipient].append(mail["n"])
        for o in self.outbox.values():
            repeats = sum(1 for a in self.attempts[o["id"]] if a["possibly_repeated"])
            for r in self.recipients[o["id"]]:
                words = "outbox mail %d (%s) to %s" % (o["id"], o["operation"], r["address"])
                times = taken.pop((o["id"], r["address"]), [])
                is_refused = r["state"] == "failed" and 500 <= r["code"] < 600 and r["address"].startswith("refused")
                if not times and not is_refused:
                    self.f.add("missing_mails", "%s is %s, and the sink never had it: %s" % (words, r["state"], r["words"]))
                if times and r["state"] != "sent":
                    self.f.add("missing_mails", "%s is %s, and the sink has it as %s" % (words, r["state"], times))
                if len(times) > 1 + repeats:
                    self.f.add("doubled_mails", "%s was taken %d times (%s), and %d attempts are marked possibly_repeated" % (words, len(times), times, repeats))
        for (outbox, recipient), times in taken.items():
            self.f.add("doubled_mails", "outbox mail %d went to %s, who is none of its recipients: %s" % (outbox, recipient, times))

    def owed(self):
        """From the mail that came alone: who must have been told of it, under one Message-ID."""
        told = collections.defaultdict(set)
        for mail in self.sink:
            for recipient in mail["recipients"]:
                if mail["in_reply_to"] or mail["answer"]:
                    told[recipient, mail["in_reply_to"], mail["answer"]].add(mail["message_id"])
        for (recipient, about, answer), ids in told.items():
            if len(ids) > 1:
                self.f.add("doubled_mails", "%s was told of %s %s under %d Message-IDs: %s" % (recipient, about, answer, len(ids), ", ".join(sorted(ids))))
        queued = {o["operation"] for o in self.outbox.values()}
        for token, deliveries in self.by_token.items():
            line, arrival = deliveries[0][0], self.place_of.get(token)
            opens = line["kind"] in ("new", "new_without_id", "big", "to_refused", "again_elsewhere")
            owed = {(ADMIN, "notification")} if opens or line["kind"] in ("reply", "reply_by_tag") else set()
            if opens:
                owed |= {(COPY, "forward"), (line["sender"], "auto_answer")}
            for recipient, purpose in sorted(owed):
                if arrival is not None and "arrival:%d:%s" % (arrival, purpose) not in queued:
                    self.f.add("missing_mails", "%s: no %s to %s was ever queued" % (self.named(arrival), purpose, recipient))
                if line["message_id"] and not recipient.startswith("refused") and not told.get((recipient, line["message_id"], "")):
                    self.f.add("missing_mails", "%s: the sink has no %s to %s" % (token, purpose, recipient))

    def answered(self):
        """What agents said by command: once where the command said that it is done, else once or not at all."""
        said = collections.defaultdict(list)
        for e in self.db.rows("SELECT id, ticket_id, body FROM log_entry WHERE kind = 'outbound'"):
            found = re.search(r"\bA\d{5}\b", e["body"])
            said[found.group(0) if found else ""].append(e)
        mails = collections.Counter(o["log_entry_id"] for o in self.outbox.values() if o["purpose"] == "answer")
        for answer in self.answers:
            entries = said.pop(answer["token"], [])
            words = "answer %s on ticket %d (exit code %s)" % (answer["token"], answer["ticket"], answer["code"])
            if answer["code"] == 0 and not entries:
                self.f.add("missing_mails", "%s is not on any ticket" % words)
            if len(entries) > 1:
                self.f.add("doubled_mails", "%s stands %d times: log entries %s" % (words, len(entries), [e["id"] for e in entries]))
            for e in entries:
                if e["ticket_id"] != answer["ticket"]:
                    self.f.add("misplaced", "%s is on ticket %d" % (words, e["ticket_id"]))
                if mails[e["id"]] != 1:
                    self.f.add("missing_mails" if mails[e["id"]] == 0 else "doubled_mails", "%s, log entry %d, has %d mails" % (words, e["id"], mails[e["id"]]))
        for token, entries in said.items():
            self.f.add("doubled_mails", "log entries %s: nobody gave the answer %s" % ([e["id"] for e in entries], token))

    # --- events

    def events(self):
        """Numbers without a gap up to the counter; no reader has run past one; cursors stand within."""
        bear = [(table, column) for table, names in self.columns.items() for column in names
                if table != "event_cursor" and (column == "number" or column.endswith("_number"))]
        drawn = {r["n"] for r in self.db.rows(" UNION ".join("SELECT %s AS n FROM %s" % (column, table) for table, column in bear))}
        last = self.db.rows("SELECT value FROM counter WHERE name = 'event'")
        last = last[0]["value"] if last else 0
        gaps = sorted(set(range(1, last + 1)) - drawn)
        if gaps:
            self.f.add("skipped_events", "numbers that nothing bears, of %d: %s" % (last, gaps[:10]))
        numbers = {r["number"]: r for r in self.db.rows("SELECT number, kind, ticket_id, detail FROM ticket_event")}
        if numbers and max(numbers) > last:
            self.f.add("skipped_events", "event %d is past the counter, %d" % (max(numbers), last))
        seen = [n for look in self.witness for n in look["numbers"]]
        for number in sorted(set(numbers) - set(seen)):
            self.f.add("skipped_events", "event %d (%s, ticket %s): a reader with a cursor never saw it" % (number, numbers[number]["kind"], numbers[number]["ticket_id"]))
        for number in sorted(set(seen) - set(numbers)):
            self.f.add("skipped_events", "event %d was read, and is gone" % number)
        at = collections.Counter(seen)
        for number in (n for n in at if at[n] > 1):
            self.f.add("skipped_events", "event %d was read twice" % number)
        cursors = {c["name"]: c["number"] for c in self.db.rows("SELECT name, number FROM event_cursor")}
        for name, number in cursors.items():
            if number > last:
                self.f.add("skipped_events", "cursor %s stands at %d, past the last event %d" % (name, number, last))
        self.undelivered(numbers, cursors.get("undelivered", 0))

    def undelivered(self, numbers, cursor):
        """The one reader that there is: of each mail that was given up, and that is worth a notice, there is one."""
        queued = {o["operation"] for o in self.outbox.values()}
        for number, event in numbers.items():
            found = re.search(r"outbox:(\d+)", event["detail"]) if event["kind"] == "delivery_failed" else None
            if not found:
                continue
            o = self.outbox.get(int(found.group(1)), {"purpose": "", "id": 0})
            if o["purpose"] in ("answer", "forward", "notification") and "outbox:%d:undelivered" % o["id"] not in queued:
                self.f.add("skipped_events", "event %d: nobody was told that outbox mail %d was given up (cursor at %d)" % (number, o["id"], cursor))
            if number > cursor:
                self.f.add("skipped_events", "event %d (%s) is not read by the cursor undelivered, at %d" % (number, event["kind"], cursor))


def check(db, folder, findings):
    return Checker(db, folder, findings).run()


def snapshot(folder, into):
    """A copy of what the checker reads, but for a PostgreSQL database."""
    os.makedirs(into)
    for name in ("manifest.jsonl", "sink.jsonl", "witness.jsonl", "answers.jsonl", "sources.json"):
        shutil.copy(os.path.join(folder, name), into)
