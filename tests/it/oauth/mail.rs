//! A desk with an identity provider, a Dovecot that takes tokens alone, and a relay that demands one.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;

use crate::support::dovecot::{Account, Dovecot, dovecot_with_tokens};
use crate::support::identity::{Identity, Style, fetch};
use crate::support::program::{Desk, Store};
use crate::support::scripted_smtp::ScriptedSmtp;

pub struct World {
    pub identity: Arc<Identity>,
    pub dovecot: Dovecot,
    pub smtp: ScriptedSmtp,
    pub desk: Desk,
}

/// How somebody signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Code,
    Device,
    ClientCredentials,
}

impl World {
    /// `None` where there can be no Dovecot. It knows the one mechanism.
    pub fn new(mechanism: &str) -> Option<World> {
        World::on(Desk::new(Store::Sqlite).expect("SQLite is always there"), mechanism)
    }

    /// The same with a desk that is there. It may know several mechanisms.
    pub fn on(desk: Desk, mechanism: &str) -> Option<World> {
        let identity = Arc::new(Identity::start(Style::Microsoft));
        let dovecot = dovecot_with_tokens(mechanism, &identity.introspection())?;
        let smtp = ScriptedSmtp::start();
        let asked = identity.clone();
        smtp.demand_xoauth2(move |user, token| asked.takes_for(user, token));
        Some(World { identity, dovecot, smtp, desk })
    }

    pub fn configure(&self, sections: &str) {
        let provider = self.identity.section("idp", "tenant = \"contoso.example\"");
        self.desk.configure(&format!("{provider}{sections}"));
        self.desk.run(&["migrate"]).ok();
    }

    /// A mailbox with its type, whose mail goes out by the relay of that name. `more` is for the mailbox.
    pub fn mailbox(&self, name: &str, account: &Account, (relay, more): (&str, &str)) -> String {
        let port = if more.contains("pop3") { self.dovecot.pop3 } else { self.dovecot.imap };
        format!(
            "[[mailbox]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"plain\"\n\
             auth = \"oauth2\"\nusername = \"{user}\"\n{more}\n\n\
             [[type]]\nname = \"{name}\"\ntag = \"{name}\"\nmailbox = \"{name}\"\nrelay = \"{relay}\"\n\
             addresses = [\"{name}@example.com\"]\nadmin = \"admin@example.net\"\n\n",
            user = account.user
        )
    }

    pub fn relay(&self, name: &str, user: &str) -> String {
        format!(
            "[[relay]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"plain\"\nauth = \"oauth2\"\n\
             username = \"{user}\"\nsender = \"desk@example.com\"\n\n",
            self.smtp.port
        )
    }

    /// Signs in as a person would, whose name is `user`.
    #[track_caller]
    pub fn sign_in(&self, target: &str, user: &str, flow: Flow) {
        self.sign_in_with(target, user, flow, &[]);
    }

    /// The same with further arguments. Gives what was said.
    #[track_caller]
    pub fn sign_in_with(&self, target: &str, user: &str, flow: Flow, more: &[&str]) -> String {
        self.identity.desk().user = user.to_owned();
        let flow_word = match flow {
            Flow::Code => "code",
            Flow::Device => "device",
            Flow::ClientCredentials => "client-credentials",
        };
        let arguments = [&["oauth", "login", target, "--flow", flow_word], more].concat();
        if flow == Flow::ClientCredentials {
            let output = self.desk.run(&arguments).ok();
            return output.stderr + &output.stdout;
        }
        let mut command = self.desk.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = command.spawn().expect("maildesk starts");
        let mut said = String::new();
        let mut lines = BufReader::new(program.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let last = if flow == Flow::Code { "Waiting for the browser" } else { "enter the code" };
        for line in lines.by_ref() {
            said.push_str(&format!("{line}\n"));
            if line.contains(last) {
                break;
            }
        }
        let word = |begin: &str| said.split_whitespace().find(|word| word.starts_with(begin)).expect(&said);
        if flow == Flow::Code {
            let back = self.identity.sign_in(word("http://"));
            assert_eq!(fetch(&back).status, 200, "the browser comes back");
        } else {
            let (_, code) = said.rsplit_once("enter the code").expect(&said);
            self.identity.enter_code(code.trim(), Ok(user));
        }
        said.extend(lines.map(|line| line + "\n"));
        let output = program.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{said}");
        said + &String::from_utf8_lossy(&output.stdout)
    }

    /// The failure that stands for a mailbox, or null.
    #[track_caller]
    pub fn failure_of(&self, mailbox: &str) -> Value {
        self.desk.json(&["mailbox", "show", mailbox, "--json"])["failure"].clone()
    }

    /// The mails about tickets of a type that the relay has taken.
    pub fn sent_about(&self, tag: &str) -> usize {
        let tag = format!("[{tag} #");
        self.smtp.accepted().iter().filter(|mail| String::from_utf8_lossy(&mail.bytes).contains(&tag)).count()
    }

    pub fn tickets(&self) -> usize {
        self.desk.rows(&["ticket", "list", "--json"]).len()
    }
}

pub fn message(to: &str, n: usize) -> Vec<u8> {
    format!(
        "From: joe@example.org\r\nTo: {to}@example.com\r\nMessage-ID: <{n}.{to}@example.org>\r\nSubject: {n}\r\n\r\nHello\r\n"
    )
    .into_bytes()
}
