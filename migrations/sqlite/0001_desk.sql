-- The schema of a desk, on SQLite. PostgreSQL has the same text but for two types: BIGINT PRIMARY KEY and BYTEA.
-- Times are microseconds UTC; booleans are 0 and 1; JSON is TEXT. Ids are drawn from `counter`, never by the engine.

CREATE TABLE setting (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE counter (
  name TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL
);

-- A desk on its way to another store, or gone there: `leaving` here, `coming` there. No copy carries it.
CREATE TABLE moving (
  name TEXT NOT NULL PRIMARY KEY,
  state TEXT NOT NULL                 -- JSON
);

-- The last transaction of each process that takes mail in, by its own count: what is missing after a failover shows here.
CREATE TABLE daemon_mark (
  name TEXT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL
);

-- Keys and passwords, sealed under the key of the service (L2).
CREATE TABLE secret (
  id INTEGER PRIMARY KEY,
  purpose TEXT NOT NULL,              -- password, mac_key, hash_key, refresh_token, client_secret
  sealed BLOB NOT NULL,
  key_id BIGINT NOT NULL DEFAULT 0,   -- of a mac_key: the id inside our tokens
  created_us BIGINT NOT NULL
);

-- Processes at work on this desk; each has a row of its own for each life.
CREATE TABLE daemon (
  id TEXT NOT NULL PRIMARY KEY,       -- host:pid:random
  command TEXT NOT NULL,              -- run, poll, import
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  process TEXT NOT NULL,              -- machine, namespace, number and start: whether it runs still, its neighbours see
  since_us BIGINT NOT NULL,
  until_us BIGINT NOT NULL            -- by the database's clock; what it holds is free afterwards
);

-- Who has it: mailbox:ID, job:NAME, host:NAME:N, import:ID; of `desk`, who holds the desk alone, in words.
CREATE TABLE lease (
  name TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,                -- a daemon; '': it was given back
  fence BIGINT NOT NULL               -- rises with each taking
);
INSERT INTO lease (name, owner, fence) VALUES ('desk', '', 0);

CREATE TABLE job (
  name TEXT NOT NULL PRIMARY KEY,
  schedule TEXT NOT NULL DEFAULT '',
  known_us BIGINT NOT NULL,           -- first seen: its first run is counted from then
  began_us BIGINT,
  ended_us BIGINT,
  next_us BIGINT NOT NULL,
  failures BIGINT NOT NULL DEFAULT 0, -- in a row
  words TEXT NOT NULL DEFAULT ''      -- what the last run said
);

CREATE TABLE relay (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,                 -- smtp, folder
  host TEXT NOT NULL,                 -- of a folder: its path
  port BIGINT NOT NULL,
  tls TEXT NOT NULL,                  -- tls, starttls, plain
  auth TEXT NOT NULL DEFAULT 'password', -- password, oauth2
  username TEXT NOT NULL,
  password_id BIGINT REFERENCES secret (id),
  sender TEXT NOT NULL,               -- the account's own address, the return path where VERP is off
  verp BIGINT NOT NULL,
  paused BIGINT NOT NULL DEFAULT 0,
  active BIGINT NOT NULL DEFAULT 1,
  provisioned BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);

CREATE TABLE mailbox (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  protocol TEXT NOT NULL,             -- imap, pop3, maildir, pipe
  host TEXT NOT NULL,                 -- of a maildir: its path
  port BIGINT NOT NULL,
  tls TEXT NOT NULL,
  auth TEXT NOT NULL DEFAULT 'password',
  username TEXT NOT NULL,
  password_id BIGINT REFERENCES secret (id),
  folders TEXT NOT NULL,              -- JSON list
  handled TEXT NOT NULL,              -- delete, move, seen
  move_to TEXT NOT NULL,
  size_limit_bytes BIGINT NOT NULL,
  interval_s BIGINT NOT NULL,
  schedule TEXT NOT NULL DEFAULT '',  -- empty: every interval_s
  timezone TEXT NOT NULL DEFAULT 'UTC',
  idle BIGINT NOT NULL DEFAULT 1,
  start TEXT NOT NULL DEFAULT 'all',  -- all, now: what lies there before the first round stays untouched
  mode TEXT NOT NULL DEFAULT 'live',  -- live, shadow
  epoch BIGINT NOT NULL DEFAULT 1,    -- rises when host or username is edited
  held BIGINT NOT NULL DEFAULT 0,     -- waits for `mailbox resume`
  active BIGINT NOT NULL DEFAULT 1,
  provisioned BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL,
  last_round_us BIGINT,
  last_ok_us BIGINT,
  failing_since_us BIGINT,
  failures BIGINT NOT NULL DEFAULT 0,
  last_error TEXT NOT NULL DEFAULT '',
  failure_kind TEXT NOT NULL DEFAULT '', -- of the last round, where it failed
  shown BIGINT NOT NULL DEFAULT 0,    -- distinct messages the server has ever shown (M2)
  last_mail_us BIGINT                 -- when a round last brought mail
);

-- Applications registered with an identity provider.
CREATE TABLE oauth_provider (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,                 -- microsoft, google, other
  client_id TEXT NOT NULL,
  client_secret_id BIGINT REFERENCES secret (id),
  secret_until_us BIGINT,             -- as the admin has entered it
  authorize_url TEXT NOT NULL,
  token_url TEXT NOT NULL,
  device_url TEXT NOT NULL,
  revoke_url TEXT NOT NULL,
  scopes TEXT NOT NULL,               -- JSON list; empty: by kind and owner
  redirect_url TEXT NOT NULL,
  refresh_days BIGINT NOT NULL,       -- 0: by kind
  timeout_s BIGINT NOT NULL,
  active BIGINT NOT NULL DEFAULT 1,
  provisioned BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);

CREATE TABLE oauth_grant (
  id INTEGER PRIMARY KEY,
  owner_kind TEXT NOT NULL,           -- mailbox, relay
  owner_id BIGINT NOT NULL,
  provider_id BIGINT NOT NULL REFERENCES oauth_provider (id),
  flow TEXT NOT NULL,                 -- code, device, client_credentials, import
  username TEXT NOT NULL,             -- who has signed in
  scopes TEXT NOT NULL,               -- JSON list
  client_secret_id BIGINT REFERENCES secret (id),    -- of its own
  secret_until_us BIGINT,
  access_token_id BIGINT REFERENCES secret (id),
  access_us BIGINT,                   -- when it was issued
  access_until_us BIGINT,
  refresh_token_id BIGINT REFERENCES secret (id),
  previous_token_id BIGINT REFERENCES secret (id),   -- until the one after it has worked
  refresh_until_us BIGINT,            -- may be an estimate
  refresh_stated BIGINT NOT NULL DEFAULT 0,          -- 1: the provider has said when
  granted_us BIGINT NOT NULL,
  rotated_us BIGINT,
  forced_us BIGINT,                   -- when a server's refusal last made it refresh
  refused_words TEXT NOT NULL DEFAULT '',            -- a mail server's, about the token of now
  asked_us BIGINT,                    -- the provider was asked, and no answer is recorded
  state TEXT NOT NULL DEFAULT 'working',             -- working, failing, stopped (somebody has to act)
  failures BIGINT NOT NULL DEFAULT 0,
  retry_us BIGINT NOT NULL DEFAULT 0,
  last_code TEXT NOT NULL DEFAULT '',
  last_error TEXT NOT NULL DEFAULT '',
  claim TEXT NOT NULL DEFAULT '',     -- who refreshes it
  claim_until_us BIGINT NOT NULL DEFAULT 0,          -- by the database's clock
  fence BIGINT NOT NULL DEFAULT 0,
  UNIQUE (owner_kind, owner_id)
);

CREATE TABLE ticket_type (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL,
  tag TEXT NOT NULL,
  flow TEXT NOT NULL,                 -- simple, assignment, bounce
  mailbox_id BIGINT REFERENCES mailbox (id),
  relay_id BIGINT REFERENCES relay (id),
  address TEXT NOT NULL,              -- the From of its mail
  admin_address TEXT NOT NULL,
  forward_addresses TEXT NOT NULL,    -- JSON list
  catch_all BIGINT NOT NULL DEFAULT 0,
  on_closed TEXT NOT NULL DEFAULT 'reopen',      -- reopen, follow_up
  list_mail TEXT NOT NULL DEFAULT 'invalid',     -- invalid, open
  auto_answer BIGINT NOT NULL DEFAULT 0,
  language TEXT NOT NULL DEFAULT 'en',
  active BIGINT NOT NULL DEFAULT 1,
  provisioned BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);

-- The addresses a type answers to: support@example.com, *@example.com, support-*@example.com.
CREATE TABLE type_address (
  type_id BIGINT NOT NULL REFERENCES ticket_type (id),
  pattern TEXT NOT NULL,
  position BIGINT NOT NULL,
  PRIMARY KEY (type_id, pattern)
);

CREATE TABLE contact (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  folded TEXT NOT NULL DEFAULT '',    -- the name in lower case, to be found by: neither engine's lower() knows all letters
  role TEXT NOT NULL,                 -- customer, lead, student, tutor, admin
  number BIGINT NOT NULL,             -- the event number under which the row was born
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);

CREATE TABLE contact_address (
  address TEXT NOT NULL PRIMARY KEY,
  contact_id BIGINT NOT NULL REFERENCES contact (id),
  number BIGINT NOT NULL,
  bounced_us BIGINT,                  -- a hard bounce marks the address (D3)
  bounce_status TEXT NOT NULL DEFAULT ''
);
CREATE INDEX contact_address_contact ON contact_address (contact_id);

-- People who sign in; their addresses make a mail an agent's.
CREATE TABLE account (
  id INTEGER PRIMARY KEY,
  login TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  role TEXT NOT NULL,                 -- admin, agent, read_only
  password_hash TEXT NOT NULL DEFAULT '',
  active BIGINT NOT NULL DEFAULT 1,
  provisioned BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);

CREATE TABLE account_address (
  address TEXT NOT NULL PRIMARY KEY,
  account_id BIGINT NOT NULL REFERENCES account (id),
  position BIGINT NOT NULL
);

CREATE TABLE account_group (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version BIGINT NOT NULL DEFAULT 1
);

CREATE TABLE group_member (
  group_id BIGINT NOT NULL REFERENCES account_group (id),
  account_id BIGINT NOT NULL REFERENCES account (id),
  PRIMARY KEY (group_id, account_id)
);

CREATE TABLE group_type (
  group_id BIGINT NOT NULL REFERENCES account_group (id),
  type_id BIGINT NOT NULL REFERENCES ticket_type (id),
  PRIMARY KEY (group_id, type_id)
);

CREATE TABLE block_list (
  pattern TEXT NOT NULL PRIMARY KEY,  -- an address or a domain
  verdict TEXT NOT NULL,              -- block, allow
  number BIGINT NOT NULL,
  created_us BIGINT NOT NULL
);

CREATE TABLE ticket (
  id INTEGER PRIMARY KEY,
  type_id BIGINT NOT NULL REFERENCES ticket_type (id),
  status TEXT NOT NULL,               -- new, open, pending, on_hold, solved, closed
  subject TEXT NOT NULL,
  contact_id BIGINT REFERENCES contact (id),
  assignee_id BIGINT REFERENCES account (id),
  group_id BIGINT REFERENCES account_group (id),
  priority TEXT NOT NULL DEFAULT 'normal',       -- low, normal, high, urgent
  kind TEXT NOT NULL DEFAULT 'question',         -- question, incident, problem, task
  due_us BIGINT,
  merged_into BIGINT REFERENCES ticket (id),
  merged_number BIGINT,
  follows BIGINT REFERENCES ticket (id),
  auto_answered BIGINT NOT NULL DEFAULT 0,
  deleted BIGINT NOT NULL DEFAULT 0,
  number BIGINT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
);
CREATE INDEX ticket_contact ON ticket (contact_id);
CREATE INDEX ticket_merged ON ticket (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX ticket_status ON ticket (status, updated_us);

-- Every tag word a ticket ever had, so that old tag lines still find it.
CREATE TABLE tag_history (
  ticket_id BIGINT NOT NULL REFERENCES ticket (id),
  tag TEXT NOT NULL,
  number BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, tag)
);

CREATE INDEX tag_history_tag ON tag_history (tag);

-- Who belongs to a ticket (B5).
CREATE TABLE participant (
  ticket_id BIGINT NOT NULL REFERENCES ticket (id),
  address TEXT NOT NULL,
  how TEXT NOT NULL,                  -- contact, receiver, cc, accepted
  contact_id BIGINT REFERENCES contact (id),
  number BIGINT NOT NULL,
  PRIMARY KEY (ticket_id, address)
);

-- One row for each message a source has shown (M1). What it says of the source is the message's identity there.
CREATE TABLE arrival (
  id INTEGER PRIMARY KEY,
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id),
  epoch BIGINT NOT NULL,
  folder TEXT NOT NULL,
  validity BIGINT NOT NULL,           -- IMAP's UIDVALIDITY, else 0
  source_id TEXT NOT NULL,            -- UID, UIDL, Maildir name or digest and envelope recipient
  state TEXT NOT NULL,                -- before_start, kept, decided, ack_pending, acked, left, refused, vanished, shadow_kept, shadow
  announced_size BIGINT NOT NULL,
  size BIGINT NOT NULL,
  digest BLOB NOT NULL,               -- SHA-256 of the bytes; empty where they are not here
  message_id TEXT NOT NULL DEFAULT '',
  mail_key BLOB,                      -- keyed hash of Message-ID, From and Date, or of the bytes (B10); with the decision
  id_hash BLOB,                       -- keyed hash of the Message-ID; NULL where there is none
  envelope_to TEXT NOT NULL DEFAULT '',
  received_us BIGINT NOT NULL,        -- the server's INTERNALDATE, else the time of keeping
  silent BIGINT NOT NULL DEFAULT 0,   -- 1: taken in by `import`, nothing is sent; 2: its mails wait in hold, after a restore
  let_through BIGINT NOT NULL DEFAULT 0, -- 1: an admin has said that it is of no flood
  tries BIGINT NOT NULL DEFAULT 0,    -- deaths and panics with this very message in hand
  in_hand BIGINT NOT NULL DEFAULT 0,
  checks TEXT NOT NULL DEFAULT '',    -- JSON: what DNS said of the sender when it came; empty: nobody has asked
  kept_us BIGINT NOT NULL,
  acked_us BIGINT,
  ack_words TEXT NOT NULL DEFAULT '',
  UNIQUE (mailbox_id, epoch, folder, validity, source_id)
);
CREATE INDEX arrival_state ON arrival (state, id);
CREATE INDEX arrival_mail_key ON arrival (mail_key);

-- A folder of a mailbox that has been read, and under which numbers its messages went then.
CREATE TABLE folder (
  mailbox_id BIGINT NOT NULL REFERENCES mailbox (id),
  name TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  validity BIGINT NOT NULL,
  keyed BIGINT NOT NULL,              -- what lay there before the start has its keys
  unknown TEXT NOT NULL,              -- of mail that was suddenly unknown: held, then all or now, as an admin said
  PRIMARY KEY (mailbox_id, name)
);

-- A mail balance that was even: the next round counts on from here (M2).
CREATE TABLE balance_mark (
  mailbox_id BIGINT NOT NULL PRIMARY KEY REFERENCES mailbox (id),
  upto BIGINT NOT NULL,               -- the last arrival that is in the counts
  counts TEXT NOT NULL,               -- JSON
  counted_us BIGINT NOT NULL          -- when all of it was last counted
);

CREATE TABLE raw_mail (
  arrival_id BIGINT NOT NULL REFERENCES arrival (id),
  chunk BIGINT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (arrival_id, chunk)
);

-- What became of each message, and why. It outlives erasure: ids, codes and hashes only.
CREATE TABLE journal (
  arrival_id INTEGER PRIMARY KEY REFERENCES arrival (id),
  number BIGINT NOT NULL UNIQUE,      -- drawn with the event numbers; the decision saw what is below it
  kind TEXT NOT NULL,
  act TEXT NOT NULL,
  code TEXT NOT NULL,
  type_id BIGINT,
  ticket_id BIGINT,
  log_entry_id BIGINT,
  original_arrival_id BIGINT,         -- of a duplicate: the first copy
  superseded_by BIGINT,
  superseded_number BIGINT,
  settled_number BIGINT,              -- an admin put it onto a ticket later, under this number
  decided_us BIGINT NOT NULL
);
CREATE INDEX journal_ticket ON journal (ticket_id);

-- How often each key of the loop breaker was met, by the time of receipt. A key is a keyed hash: its words are nowhere.
CREATE TABLE loop_count (
  hash BIGINT NOT NULL,
  slot BIGINT NOT NULL,               -- the time of receipt, in twelfths of the window
  met BIGINT NOT NULL,
  written_us BIGINT NOT NULL,
  PRIMARY KEY (hash, slot)
);

-- Storms: keys of the loop breaker over their cap. They name whom they are about, and are gone after some days.
CREATE TABLE loop_storm (
  hash INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,                 -- sender, address, domain, subject, ticket
  name TEXT NOT NULL,
  cap BIGINT NOT NULL,
  window_s BIGINT NOT NULL,
  stopped BIGINT NOT NULL,            -- messages that were stopped, or whose mails were
  first_us BIGINT NOT NULL,           -- when they were received
  last_us BIGINT NOT NULL,
  noted_us BIGINT NOT NULL
);

-- The words behind a decision: stored clues and trace, erasable with the arrival.
CREATE TABLE evidence (
  arrival_id INTEGER PRIMARY KEY REFERENCES arrival (id),
  clues TEXT NOT NULL,
  trace TEXT NOT NULL
);

-- What would have become of a message of a mailbox in shadow mode, and why: words too, erasable with the arrival.
CREATE TABLE shadow (
  arrival_id INTEGER PRIMARY KEY REFERENCES arrival (id),
  kind TEXT NOT NULL,
  act TEXT NOT NULL,
  code TEXT NOT NULL,
  type_id BIGINT,
  ticket_id BIGINT,                   -- the ticket it would have been added to
  root_id BIGINT,                     -- or the arrival that would have opened its ticket; itself where it opens one
  original_arrival_id BIGINT,
  mail_key BLOB NOT NULL,
  id_hash BLOB,
  addresses TEXT NOT NULL,            -- JSON: who would belong to the ticket that it opens, the sender first
  clues TEXT NOT NULL,
  trace TEXT NOT NULL,
  decided_us BIGINT NOT NULL
);
CREATE INDEX shadow_mail_key ON shadow (mail_key);
CREATE INDEX shadow_id_hash ON shadow (id_hash);

CREATE TABLE log_entry (
  id INTEGER PRIMARY KEY,
  ticket_id BIGINT NOT NULL REFERENCES ticket (id),
  kind TEXT NOT NULL,                 -- inbound, automatic, bounce, outbound, note
  arrival_id BIGINT REFERENCES arrival (id),
  author_address TEXT NOT NULL,
  author_name TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  body_truncated BIGINT NOT NULL DEFAULT 0,
  pieces TEXT NOT NULL DEFAULT '',    -- JSON: [{role, start, end}] in bytes of the body; empty where all of it is new words
  message_id TEXT NOT NULL DEFAULT '',
  id_hash BLOB,                       -- keyed hash of the Message-ID, for threading; NULL where there is none
  receivers TEXT NOT NULL,            -- JSON: [{address, name, contact}]
  code TEXT NOT NULL DEFAULT '',
  number BIGINT NOT NULL,
  sent_us BIGINT,                     -- the Date it bears
  created_us BIGINT NOT NULL
);
CREATE INDEX log_entry_ticket ON log_entry (ticket_id, id);
CREATE INDEX log_entry_id_hash ON log_entry (id_hash);
CREATE INDEX log_entry_arrival ON log_entry (arrival_id);

CREATE TABLE attachment (
  log_entry_id BIGINT NOT NULL REFERENCES log_entry (id),
  position BIGINT NOT NULL,
  name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size BIGINT NOT NULL,               -- decoded bytes
  is_inline BIGINT NOT NULL,
  content_id TEXT NOT NULL,
  arrival_id BIGINT NOT NULL REFERENCES arrival (id),
  raw_offset BIGINT NOT NULL,
  raw_length BIGINT NOT NULL,
  encoding TEXT NOT NULL,             -- identity, base64, quoted_printable, uuencode, within base64 START LENGTH
  PRIMARY KEY (log_entry_id, position)
);

-- Mail that may not be trusted onto the ticket it names, or fits no type (F1, F2).
CREATE TABLE invalid_ticket (
  id INTEGER PRIMARY KEY,
  arrival_id BIGINT NOT NULL UNIQUE REFERENCES arrival (id),
  code TEXT NOT NULL,
  state TEXT NOT NULL,                -- open, journalled, accepted, reassigned, recovered, rejected, deleted, blocked, superseded
  named_ticket_id BIGINT,
  sender_address TEXT NOT NULL,
  sender_name TEXT NOT NULL,
  subject TEXT NOT NULL,
  ticket_id BIGINT,                   -- where it ended
  log_entry_id BIGINT,
  number BIGINT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL,
  settled_us BIGINT
);
CREATE INDEX invalid_ticket_state ON invalid_ticket (state, id);

-- Mail that could not be read (B2).
CREATE TABLE error_ticket (
  id INTEGER PRIMARY KEY,
  arrival_id BIGINT NOT NULL UNIQUE REFERENCES arrival (id),
  code TEXT NOT NULL,
  state TEXT NOT NULL,                -- open, fetch, fetched, retried, returned, discarded, vanished, superseded
  words TEXT NOT NULL,
  subject TEXT NOT NULL,
  sender_address TEXT NOT NULL,
  headers BLOB NOT NULL,              -- of a message too big to keep
  number BIGINT NOT NULL,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL,
  settled_us BIGINT
);
CREATE INDEX error_ticket_state ON error_ticket (state, id);

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  purpose TEXT NOT NULL,              -- notification, forward, auto_answer, answer, notice, alert
  ticket_id BIGINT REFERENCES ticket (id),
  log_entry_id BIGINT REFERENCES log_entry (id),
  relay_id BIGINT REFERENCES relay (id),
  message_id TEXT NOT NULL,
  return_path TEXT NOT NULL,          -- empty is the null sender
  sender TEXT NOT NULL,
  subject TEXT NOT NULL,
  literal BLOB NOT NULL,              -- the literal segments one after the other
  segments TEXT NOT NULL,             -- JSON: [{"literal": n} | {"raw": {arrival, offset, length, encoding}}]
  size BIGINT NOT NULL,
  digest BLOB NOT NULL,               -- SHA-256 of the literal bytes and the segments
  operation TEXT NOT NULL,            -- what caused it; the same operation queues nothing twice
  state TEXT NOT NULL,                -- queued, held, done, cancelled
  held_by TEXT NOT NULL DEFAULT '',   -- the key of the loop breaker whose cap was met: address, domain, subject, ticket
  number BIGINT NOT NULL,
  next_us BIGINT NOT NULL,            -- when the earliest recipient is due
  lease_owner TEXT NOT NULL DEFAULT '', -- the daemon that sends it; free where that is no more
  fence BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (state, next_us);
CREATE INDEX outbox_ticket ON outbox (ticket_id);
CREATE UNIQUE INDEX outbox_operation ON outbox (operation);

CREATE TABLE outbox_recipient (
  outbox_id BIGINT NOT NULL REFERENCES outbox (id),
  address TEXT NOT NULL,
  name TEXT NOT NULL,
  contact_id BIGINT REFERENCES contact (id),
  state TEXT NOT NULL,                -- queued, deferred, sent, failed, cancelled
  attempts BIGINT NOT NULL DEFAULT 0,
  next_us BIGINT NOT NULL,
  code BIGINT NOT NULL DEFAULT 0,     -- the last SMTP reply code
  enhanced TEXT NOT NULL DEFAULT '',
  words TEXT NOT NULL DEFAULT '',
  settled_us BIGINT,
  PRIMARY KEY (outbox_id, address)
);

CREATE TABLE outbox_attempt (
  id INTEGER PRIMARY KEY,
  outbox_id BIGINT NOT NULL REFERENCES outbox (id),
  state TEXT NOT NULL,                -- started, dot_sent, ended
  possibly_repeated BIGINT NOT NULL DEFAULT 0,
  relay TEXT NOT NULL,
  recipients BIGINT NOT NULL DEFAULT 0,
  started_us BIGINT NOT NULL,
  ended_us BIGINT,
  code BIGINT NOT NULL DEFAULT 0,
  words TEXT NOT NULL DEFAULT '',
  fence BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX outbox_attempt_outbox ON outbox_attempt (outbox_id, id);

CREATE TABLE suppression (
  address TEXT NOT NULL PRIMARY KEY,
  why TEXT NOT NULL,
  bounce_id BIGINT,
  created_us BIGINT NOT NULL
);

CREATE TABLE bounce (
  id INTEGER PRIMARY KEY,
  arrival_id BIGINT NOT NULL REFERENCES arrival (id),
  code TEXT NOT NULL,
  outbox_id BIGINT REFERENCES outbox (id),
  ticket_id BIGINT REFERENCES ticket (id),
  log_entry_id BIGINT REFERENCES log_entry (id),
  contact_id BIGINT REFERENCES contact (id),
  recipient TEXT NOT NULL,
  status TEXT NOT NULL,
  status_stated BIGINT NOT NULL,
  class TEXT NOT NULL,
  hard BIGINT NOT NULL,
  action TEXT NOT NULL,
  diagnostic TEXT NOT NULL,
  original_message_id TEXT NOT NULL,
  number BIGINT NOT NULL,
  resolved_us BIGINT,
  resolved_by TEXT NOT NULL DEFAULT '',
  version BIGINT NOT NULL DEFAULT 1,
  created_us BIGINT NOT NULL
);
CREATE INDEX bounce_arrival ON bounce (arrival_id);
CREATE INDEX bounce_resolved ON bounce (resolved_us, id);

-- Append-only. Ids and codes, no words; each reader holds a cursor.
CREATE TABLE ticket_event (
  number INTEGER PRIMARY KEY,
  ticket_id BIGINT,
  log_entry_id BIGINT,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL,               -- codes and ids, such as "open>closed"
  actor TEXT NOT NULL,                -- system, contact:1, account:2, uid:0
  origin TEXT NOT NULL,               -- mail, command, api, console, helpdesk N, workflow
  operation TEXT NOT NULL,            -- what caused it, such as arrival:12
  at_us BIGINT NOT NULL
);
CREATE INDEX ticket_event_ticket ON ticket_event (ticket_id, number);

CREATE TABLE event_cursor (
  name TEXT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL
);

CREATE TABLE alert (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,                 -- mailbox:3:failing, balance:3, template:notification, relay:1:failing
  kind TEXT NOT NULL DEFAULT '',      -- the stage it is in: of a failure its kind, such as login or cut
  words TEXT NOT NULL,
  advice TEXT NOT NULL DEFAULT '',
  urgent BIGINT NOT NULL DEFAULT 0,   -- somebody has to act, now or in an earlier stage
  raised_us BIGINT NOT NULL,
  told_us BIGINT,
  cleared_us BIGINT,
  owed BIGINT NOT NULL DEFAULT 1      -- a mail about it is to be sent: that it stands, or that it is over
);
CREATE UNIQUE INDEX alert_open ON alert (name) WHERE cleared_us IS NULL;
CREATE INDEX alert_owed ON alert (id) WHERE owed = 1;
