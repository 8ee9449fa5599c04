"""The mail of a torture: what comes, from whom, into which mailbox, and what must become of it.

Kinds, senders and sizes follow from the seed alone. What answers a mail of maildesk (replies, bounces, automatic answers)
takes its address, its Message-ID and its tag line from what the sink has been given by then."""
import base64, hashlib, json, os, random, time

# How often each kind comes. `of`: what must become of it, as act and code of the journal.
KINDS = {
    "new": {"weight": 30, "of": {"open/new_ticket"}},
    "new_without_id": {"weight": 3, "of": {"open/new_ticket"}},
    "big": {"weight": 3, "of": {"open/new_ticket"}},
    "to_refused": {"weight": 4, "of": {"open/new_ticket"}},
    "reply": {"weight": 14, "of": {"append/reply_by_our_id"}},
    "reply_by_tag": {"weight": 8, "of": {"append/reply_by_tag"}},
    "agent": {"weight": 4, "of": {"append/agent_reply_not_sent"}},
    "away": {"weight": 6, "of": {"append/auto_reply_noted"}},
    "bounce": {"weight": 6, "of": {"bounce/bounce_by_verp"}},
    "stranger": {"weight": 4, "of": {"invalid/stranger_on_ticket"}},
    "no_type": {"weight": 3, "of": {"invalid/no_type"}},
    "away_from_nothing": {"weight": 3, "of": {"invalid/auto_reply_unplaced"}},
    "again": {"weight": 8, "of": set()},        # another copy of an earlier one, in its mailbox
    "again_elsewhere": {"weight": 4, "of": set()},  # a new one to two addresses, in both mailboxes
}
# Of these the answer that the sink got decides.
ANSWERS = ("reply", "reply_by_tag", "away", "bounce", "stranger")
OPENS = ("new", "new_without_id", "big", "to_refused", "again_elsewhere")
ON_THREAD = ("reply", "reply_by_tag", "agent", "away")
ADMIN, COPY = "admin@team.test", "copy@team.test"
BOUNCES = "bounces"


class Mail:
    """Makes and delivers. `boxes`: name → a function that puts bytes there; `sink`: what maildesk has sent."""

    def __init__(self, seed, boxes, sink, folder):
        self.random, self.boxes, self.sink = random.Random("mail %s" % seed), boxes, sink
        self.seed, self.manifest, self.count = seed, [], 0
        self.record = open(os.path.join(folder, "manifest.jsonl"), "a")
        self.types = [name for name in boxes if name != BOUNCES]
        self.answered = set()
        self.first = ["again", "again_elsewhere", "no_type", "away_from_nothing", "to_refused", "big", "new_without_id", "new"]
        self.bytes = {}

    def next(self):
        """One more message; several copies of it, perhaps."""
        dice = self.random.random()
        kind = self.random.choices(list(KINDS), [k["weight"] for k in KINDS.values()])[0]
        # A short run, too, is to have one of each.
        kind = self.first.pop() if self.first else kind
        box = self.random.choice(self.types)
        size = self.random.choice([200, 2000, 8000])
        made = None
        if kind in ANSWERS:
            made = self.answer(kind, dice)
        elif kind == "agent":
            made = self.agent(dice)
        elif kind == "again":
            made = self.again(dice)
        if made:
            return
        # Nothing to answer yet.
        kind = kind if kind not in ANSWERS and kind not in ("agent", "again") else "new"
        self.open(kind, box, size, dice)

    # --- what is made

    def open(self, kind, box, size, dice):
        token = self.token()
        sender = ("refused" if kind == "to_refused" else "c") + "%s@customers.test" % token.lower()
        to = "%s@example.com" % box
        boxes = [box]
        more = ""
        body = words(self.random, size)
        if kind == "again_elsewhere":
            other = self.random.choice([b for b in self.types if b != box])
            to, boxes = "%s@example.com, %s@example.com" % (box, other), [box, other]
        if kind == "no_type":
            to = "nobody@elsewhere.test"
        if kind == "away_from_nothing":
            more = "Auto-Submitted: auto-replied\n"
        if kind == "big":
            return self.put(kind, token, boxes, sender, self.with_attachment(token, sender, to, dice), root=token)
        text = self.head(token, sender, to, "Question %s" % token, more, has_id=kind != "new_without_id") + body
        self.put(kind, token, boxes, sender, text, root=token if kind in OPENS else "")

    def answer(self, kind, dice):
        """To an automatic answer that a customer was sent."""
        mail = self.pick(dice, kind, lambda m: m["recipients"][0].startswith("ct"))
        if mail is None:
            return False
        token, customer = self.token(), mail["recipients"][0]
        root = customer[1:].split("@")[0].upper()
        box = next(m["boxes"][0] for m in self.manifest if m["token"] == root)
        to = mail["from"].rpartition("<")[2].rstrip(">")
        reference = "In-Reply-To: %s\nReferences: %s\n" % (mail["message_id"], mail["message_id"])
        subject, sender, more, boxes = "Re: " + mail["subject"], customer, "", [box]
        if kind == "reply":
            more = reference
            if dice < 0.3:
                subject = "Re: my question"
        elif kind == "away":
            more, subject = reference + "Auto-Submitted: auto-replied\n", "Out of office"
        elif kind == "stranger":
            sender = "stranger%s@elsewhere.test" % token.lower()
        elif kind == "bounce":
            return self.bounce(token, mail, customer, root)
        text = self.head(token, sender, to, subject, more) + words(self.random, 400)
        self.put(kind, token, boxes, sender, text, root=root if kind in ON_THREAD else "", answers=mail["n"])
        return True

    def agent(self, dice):
        """The admin answers a notification of a new ticket: that is kept inside."""
        mail = self.pick(dice, "agent", lambda m: m["recipients"] == [ADMIN] and "Question T" in m["subject"] and "Re:" not in m["subject"])
        if mail is None:
            return False
        token, root = self.token(), mail["subject"].rpartition("Question ")[2].split()[0]
        origin = next((m for m in self.manifest if m["token"] == root), None)
        if origin is None or origin["root"] != root:
            return False
        more = "In-Reply-To: %s\n" % mail["message_id"]
        to = mail["from"].rpartition("<")[2].rstrip(">")
        text = self.head(token, ADMIN, to, "Re: " + mail["subject"], more) + words(self.random, 300)
        self.put("agent", token, [origin["boxes"][0]], ADMIN, text, root=root, answers=mail["n"])
        return True

    def bounce(self, token, mail, customer, root):
        """RFC 3464, to the return path that the sink was given."""
        if "bounce" not in mail["sender"]:
            return False
        text = """Return-Path: <>
From: Mail Delivery System <mailer-daemon@customers.test>
To: <{to}>
Subject: Undelivered Mail Returned to Sender
Date: {date}
Message-ID: <{token}@customers.test>
X-Torture: {token}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b{token}"

--b{token}
Content-Type: text/plain

I could not deliver your mail.

--b{token}
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.customers.test

Final-Recipient: rfc822; {customer}
Action: failed
Status: 5.2.2
Diagnostic-Code: smtp; 552 5.2.2 mailbox full

--b{token}
Content-Type: text/rfc822-headers

Message-ID: {id}
Subject: {subject}

--b{token}--
""".format(to=mail["sender"], date=date(), token=token, customer=customer, id=mail["message_id"], subject=mail["subject"])
        self.put("bounce", token, [BOUNCES], "", text, root="", answers=mail["n"])
        return True

    def again(self, dice):
        """The same bytes once more into the same mailbox."""
        old = [m for m in self.manifest if m["kind"] in ("new", "new_without_id", "reply") and len(m["boxes"]) == 1]
        if not old:
            return False
        first = old[int(dice * len(old))]
        box = first["boxes"][0]
        self.note(dict(first, boxes=[box], kind="again"))
        self.boxes[box](self.bytes[first["token"]])
        return True

    # --- how

    def pick(self, dice, kind, fits):
        """One of the mails in the sink that was not yet answered in this way."""
        with self.sink.changed:
            fitting = [m for m in self.sink.taken if (kind, m["message_id"]) not in self.answered and fits(m)]
        if not fitting:
            return None
        mail = fitting[int(dice * len(fitting))]
        # A report about a mail comes once; a stranger may be told of it often.
        self.answered.add((kind, mail["message_id"]))
        return mail

    def token(self):
        self.count += 1
        return "T%05d" % self.count

    def head(self, token, sender, to, subject, more, has_id=True):
        own = "Message-ID: <%s.%s@customers.test>\n" % (token, self.seed) if has_id else ""
        return (
            "Return-Path: <%s>\nFrom: Customer <%s>\nTo: %s\nSubject: %s\nDate: %s\n%sX-Torture: %s\n%s\n"
            % (sender, sender, to, subject, date(), own, token, more)
        )

    def with_attachment(self, token, sender, to, dice):
        size = int(100_000 + dice * 1_900_000)
        content = base64.encodebytes(self.random.randbytes(size)).decode()
        head = self.head(token, sender, to, "Question %s" % token, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n")
        return head + (
            "--b\nContent-Type: text/plain\n\nSee the file.\n--b\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"%s.bin\"\n\n%s--b--\n" % (token, content)
        )

    def put(self, kind, token, boxes, sender, text, root, answers=0):
        data = text.replace("\n", "\r\n").encode()
        self.bytes[token] = data
        self.note({
            "token": token, "kind": kind, "boxes": boxes, "sender": sender, "root": root, "answers": answers,
            "message_id": next((l.partition(":")[2].strip() for l in text.split("\n") if l.startswith("Message-ID:")), ""),
            "digest": hashlib.sha256(data).hexdigest(),
        })
        for box in boxes:
            self.boxes[box](data)

    def note(self, line):
        """Before it is delivered: what is not noted cannot be missed."""
        self.manifest.append(line)
        self.record.write(json.dumps(line) + "\n")
        self.record.flush()


def words(dice, size):
    some = ["printer", "invoice", "tomorrow", "password", "error", "please", "again", "nothing", "works", ".", "Grüße"]
    out, line = [], ""
    while sum(map(len, out)) < size:
        line += dice.choice(some) + " "
        if len(line) > 60:
            out.append(line.rstrip())
            line = ""
    return "Good day,\n\n" + "\n".join(out) + "\n"


def date():
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
