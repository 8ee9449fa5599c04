//! One HTTP request within a deadline: rustls with ring, the system's roots, no redirect followed, a bound on the answer.
//!
//! Certificates are read anew for each request over TLS, as for mail; there is no pool. A proxy that the environment names
//! (HTTPS_PROXY) is used, but never towards this machine itself.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::redirect::Policy;
use tokio::time::Instant;

use super::tls;
use crate::clock::{Clock, Micros};
use crate::failure::{Failure, Kind};

/// Longest answer that is read: a token is a few KB.
const ANSWER_LIMIT: usize = 1 << 20;

/// Asks over HTTP. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// A PEM file of CAs that are trusted beside the system's.
    pub extra_roots: Option<PathBuf>,
    /// What a date is measured by where the peer does not say its own time.
    pub clock: Clock,
}

/// What a peer has answered, whatever it is.
pub struct Answer {
    pub status: u16,
    /// How long the peer wants to be left alone, where it says so.
    pub retry_after: Option<Duration>,
    /// Lower case; empty where there is none.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// No answer came.
#[derive(Debug)]
pub struct NoAnswer {
    pub failure: Failure,
    /// The peer may have got the request, and done what it asks for.
    pub may_be_done: bool,
}

impl Http {
    /// Posts a form, its fields encoded already. The whole of it takes at most `deadline`, and a process that stood still
    /// meanwhile sends nothing after it.
    pub async fn post_form(&self, url: &str, form: Vec<u8>, deadline: Duration) -> Result<Answer, NoAnswer> {
        let in_time = not_after(Instant::now() + deadline, self.post(url, form, deadline));
        in_time.await.unwrap_or_else(|| Err(late(url)))
    }

    async fn post(&self, url: &str, form: Vec<u8>, deadline: Duration) -> Result<Answer, NoAnswer> {
        let never = |failure: Failure| NoAnswer { failure, may_be_done: false };
        let client = self.client(url, deadline).await.map_err(never)?;
        let request = client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(reqwest::header::ACCEPT, "application/json")
            .body(form);
        let mut response = request.send().await.map_err(|e| no_answer(url, e))?;
        let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: header(RETRY_AFTER).and_then(|said| {
                let now = header(DATE).and_then(|date| http_date(&date));
                wanted_pause(&said, now.unwrap_or_else(|| self.clock.now()))
            }),
            content_type: header(CONTENT_TYPE).unwrap_or_default().to_lowercase(),
            body: vec![],
        };
        while let Some(piece) = response.chunk().await.map_err(|e| no_answer(url, e))? {
            if answer.body.len() + piece.len() > ANSWER_LIMIT {
                let words = format!("{} answers more than {ANSWER_LIMIT} bytes", host(url));
                let failure = Failure::temporary(words).kind(Kind::Garbage);
                return Err(NoAnswer { failure, may_be_done: true });
            }
            answer.body.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    async fn client(&self, url: &str, deadline: Duration) -> Result<reqwest::Client, Failure> {
        let is_tls = url.starts_with("https:");
        let file = self.extra_roots.clone();
        let roots = match is_tls {
            true => tokio::task::spawn_blocking(move || tls::roots(file.as_deref()))
                .await
                .map_err(|e| Failure::temporary("reading the CA certificates failed").because(e))??,
            false => rustls::RootCertStore::empty(),
        };
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .timeout(deadline)
            .https_only(is_tls)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("maildesk/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls::configuration(roots)?);
        if !is_tls {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|e| Failure::temporary("no HTTP client can be made").because(e))
    }
}

/// Asks `work` to go on until `end` only. A timer of the runtime looks at the clock after the work, which would first send
/// what it had not sent when the process was stopped. Whoever wakes it at the end is the work itself.
async fn not_after<T>(end: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|cx| match Instant::now() < end {
        true => work.as_mut().poll(cx).map(Some),
        false => Poll::Ready(None),
    })
    .await
}

/// RFC 9110 §10.2.3: seconds, or the date until which to wait. `now` is the peer's own time where it says that: clocks need
/// not agree. A date that is past is no pause.
fn wanted_pause(said: &str, now: Micros) -> Option<Duration> {
    if let Ok(seconds) = said.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(said)?;
    Some(Duration::from_micros(u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0)))
}

/// RFC 9110 §5.6.7: the form of today, and the two of old that have to be understood.
fn http_date(text: &str) -> Option<Micros> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let read = |form| chrono::NaiveDateTime::parse_from_str(text.trim(), form).ok();
    FORMS.into_iter().find_map(read).map(|time| Micros(time.and_utc().timestamp_micros()))
}

fn late(url: &str) -> NoAnswer {
    let failure = Failure::temporary(format!("{} does not answer in time", host(url))).kind(Kind::Silent);
    NoAnswer { failure, may_be_done: true }
}

/// The words name the host, never what was sent.
fn no_answer(url: &str, error: reqwest::Error) -> NoAnswer {
    let host = host(url);
    let error = error.without_url();
    let (words, kind) = match () {
        () if error.is_timeout() => return late(url),
        () if error.is_connect() => (format!("no connection to {host} comes about"), Kind::Unreachable),
        () => (format!("the connection to {host} broke before its answer was whole"), Kind::Cut),
    };
    let may_be_done = !error.is_connect();
    NoAnswer { failure: Failure::temporary(words).kind(kind).because(error), may_be_done }
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_stood_still_until_the_end_does_nothing_more() {
        let sent = std::cell::Cell::new(0);
        let work = || async { sent.set(sent.get() + 1) };
        let now = Instant::now();
        assert_eq!(not_after(now + Duration::from_secs(60), work()).await, Some(()));
        assert_eq!(not_after(now, work()).await, None);
        assert_eq!(sent.get(), 1);
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let now = http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("RFC 9110's own example");
        assert_eq!(now.rfc3339(), "1994-11-06T08:49:37Z");
        for (said, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", Some(3600)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(wanted_pause(said, now), seconds.map(Duration::from_secs), "{said:?}");
        }
    }
}
