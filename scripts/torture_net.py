"""What stands between daemon and servers in a torture: a proxy that cuts, stalls and garbles; and an SMTP sink that notes
each delivery before it answers, and misbehaves on demand."""
import asyncio, email.parser, email.policy, hashlib, json, os, re, threading, time

# Bytes that no protocol here takes for a part of itself: no digit, no letter, no line end, no quote.
GARBAGE = bytes([0x7F, 0xFF, 0x80, 0x02, 0xFE])


class Loop:
    """The event loop of all proxies and sinks, in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def soon(self, function, *arguments):
        self.loop.call_soon_threadsafe(function, *arguments)


class Proxy:
    """Passes bytes to a server. What it does wrong is told to it beforehand; each order is carried out once."""

    def __init__(self, loop, target, is_binary=False):
        """`is_binary`: of PostgreSQL. Garbage begins with the first byte of an answer there: within a row nobody could
        tell it from the row."""
        self.target, self.is_binary = target, is_binary
        self.pairs, self.orders = set(), []
        self.stalled_until, self.is_away = 0.0, False
        self.done = 0
        server = loop.do(asyncio.start_server(self.accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]

    # --- orders, from any thread by Loop.soon

    def cut(self):
        for pair in list(self.pairs):
            abort(pair)

    def order(self, what, direction, after):
        """`what`: cut or garble, after so many bytes more in that direction (up: to the server)."""
        self.orders.append({"what": what, "direction": direction, "after": after})

    def stall(self, seconds):
        self.stalled_until = time.monotonic() + seconds

    def calm(self):
        self.orders.clear()
        self.stalled_until, self.is_away = 0.0, False

    # ---

    async def accept(self, reader, writer):
        if self.is_away:
            writer.transport.abort()
            return
        try:
            to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, to_server[1])
        turn = {"last": ""}
        self.pairs.add(pair)
        try:
            await asyncio.gather(
                self.pump(pair, reader, to_server[1], "up", turn), self.pump(pair, to_server[0], writer, "down", turn)
            )
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            abort(pair)
            self.pairs.discard(pair)

    async def pump(self, pair, reader, writer, direction, turn):
        while True:
            data = await reader.read(1 << 16)
            while (wait := self.stalled_until - time.monotonic()) > 0:
                await asyncio.sleep(min(wait, 0.1))
            if not data:
                # Either side's end is the end: what is behind a dead daemon must hear of it at once.
                await asyncio.sleep(0)
                abort(pair) if direction == "up" else writer.close()
                return
            data, is_end = self.spoil(data, direction, is_turn=turn["last"] != direction)
            turn["last"] = direction
            writer.write(data)
            await writer.drain()
            if is_end:
                await asyncio.sleep(0.01)
                abort(pair)
                return

    def spoil(self, data, direction, is_turn):
        order = next((o for o in self.orders if o["direction"] == direction), None)
        if order is None:
            return data, False
        if self.is_binary and order["what"] == "garble":
            if not is_turn:
                return data, False
            order["after"] = 0
        if order["after"] >= len(data):
            order["after"] -= len(data)
            return data, False
        self.orders.remove(order)
        self.done += 1
        passed, rest = data[: order["after"]], data[order["after"]:]
        # All that follows is garbage, and then the connection ends: nothing behind it can make it look whole.
        garbage = bytes(GARBAGE[i % len(GARBAGE)] for i in range(min(len(rest), 400)))
        return passed + (garbage if order["what"] == "garble" else b""), True


def abort(pair):
    for writer in pair:
        writer.transport.abort()


class Sink:
    """An SMTP server that is strict with its client. Whatever it has taken at a final dot is noted on disk first."""

    def __init__(self, loop, folder):
        self.folder, self.taken, self.violations = folder, [], []
        self.orders, self.changed = [], threading.Lock()
        os.makedirs(os.path.join(folder, "sink"))
        self.record = open(os.path.join(folder, "sink.jsonl"), "a")
        server = loop.do(asyncio.start_server(self.accept, "127.0.0.1", 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]

    def order(self, what):
        """greet_421, mail_4xx, rcpt_4xx, data_4xx, cut_in_data, cut_after_dot, stall_after_dot, dot_4xx: once, for the next."""
        self.orders.append(what)

    def calm(self):
        self.orders.clear()

    def is_to(self, what):
        if what in self.orders:
            self.orders.remove(what)
            return True
        return False

    async def accept(self, reader, writer):
        try:
            await self.talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def wrong(self, words):
        self.violations.append(words)

    async def talk(self, reader, writer):
        async def say(text):
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        if self.is_to("greet_421"):
            return await say("421 4.3.2 too busy")
        await say("220 sink.test ESMTP")
        sender, recipients = None, []
        while True:
            line = await reader.readuntil(b"\n")
            if not line.endswith(b"\r\n"):
                self.wrong("a command without CR: %r" % line[:80])
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            verb = text.split(" ")[0].upper()
            if verb == "EHLO":
                await say("250-sink.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 104857600\r\n250 ENHANCEDSTATUSCODES")
            elif verb == "QUIT":
                return await say("221 2.0.0 bye")
            elif verb in ("RSET", "NOOP"):
                sender, recipients = (None, []) if verb == "RSET" else (sender, recipients)
                await say("250 2.0.0 ok")
            elif verb == "MAIL":
                if self.is_to("mail_4xx"):
                    await say("451 4.3.0 not now")
                    continue
                sender, recipients = text.partition("<")[2].partition(">")[0], []
                await say("250 2.1.0 ok")
            elif verb == "RCPT":
                to = text.partition("<")[2].partition(">")[0]
                if sender is None:
                    self.wrong("RCPT without MAIL")
                    await say("503 5.5.1 MAIL first")
                elif to.startswith("refused"):
                    await say("550 5.1.1 no such user")
                elif self.is_to("rcpt_4xx"):
                    await say("450 4.2.1 greylisted")
                else:
                    recipients.append(to)
                    await say("250 2.1.5 ok")
            elif verb == "DATA":
                if not recipients:
                    await say("503 5.5.1 RCPT first")
                    continue
                if self.is_to("data_4xx"):
                    await say("451 4.3.0 no room now")
                    continue
                await say("354 go on")
                if not await self.content(reader, say, sender, recipients):
                    return
                sender, recipients = None, []
            else:
                self.wrong("no such command: %r" % text[:80])
                await say("500 5.5.2 what?")

    async def content(self, reader, say, sender, recipients):
        """False: the connection ends here."""
        is_cut = self.is_to("cut_in_data")
        lines = []
        while True:
            line = await reader.readuntil(b"\n")
            if not line.endswith(b"\r\n"):
                self.wrong("a line of a mail without CR: %r" % line[:80])
            if line == b".\r\n":
                break
            if len(line) > 1000:
                self.wrong("a line of %d bytes" % len(line))
            lines.append(line[1:] if line.startswith(b".") else line)
            if is_cut and len(lines) > 5:
                return False
        if self.is_to("dot_4xx"):
            await say("452 4.3.1 no room after all")
            return True
        silent = next((what for what in ("cut_after_dot", "stall_after_dot") if self.is_to(what)), "")
        self.note(b"".join(lines), sender, recipients, silent)
        if silent == "cut_after_dot":
            return False
        if silent == "stall_after_dot":
            await asyncio.sleep(3)
        await say("250 2.0.0 taken as %d" % len(self.taken))
        return True

    def note(self, content, sender, recipients, silent):
        head = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(content, headersonly=True)
        header = lambda name: " ".join(str(head.get(name, "")).split())
        mail = {
            "n": len(self.taken) + 1,
            "at": time.time(),
            "sender": sender,
            "recipients": recipients,
            "message_id": header("Message-ID"),
            "in_reply_to": header("In-Reply-To"),
            "answer": next(iter(re.findall(rb"This is (A\d{5})\.", content)), b"").decode(),
            "subject": str(email.header.make_header(email.header.decode_header(header("Subject")))),
            "from": header("From"),
            "digest": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "silent": silent,
        }
        with open(os.path.join(self.folder, "sink", "%d.eml" % mail["n"]), "wb") as f:
            f.write(content)
        self.record.write(json.dumps(mail) + "\n")
        self.record.flush()
        with self.changed:
            self.taken.append(mail)
