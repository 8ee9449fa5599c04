//! A stream that waits only so long: a peer silent for longer than allowed is an error, not a hang.
//!
//! The time runs while a read or a write waits and starts anew with every byte, so a slow line with a large message
//! gets through where a deadline on the whole would cut it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

#[derive(Debug)]
pub struct Patient<S> {
    inner: S,
    silence: Duration,
    reading: Wait,
    writing: Wait,
}

impl<S> Patient<S> {
    pub fn new(inner: S, silence: Duration) -> Patient<S> {
        Patient { inner, silence, reading: Wait::default(), writing: Wait::default() }
    }

    pub fn into_inner(self) -> S {
        self.inner
    }

    /// From now on it waits so long, also where it waits already.
    pub fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
        self.reading.is_armed = false;
        self.writing.is_armed = false;
    }
}

/// The clock of one direction: armed by the first poll that finds nothing, disarmed by progress.
#[derive(Debug, Default)]
struct Wait {
    sleep: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
}

impl Wait {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        silence: Duration,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.is_armed = false;
            return polled;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(silence)));
        if !self.is_armed {
            sleep.as_mut().reset(Instant::now() + silence);
            self.is_armed = true;
        }
        ready!(sleep.as_mut().poll(cx));
        let words = format!("silent for {} s", silence.as_secs_f32());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, words)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.reading.poll(cx, this.silence, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.writing.poll(cx, this.silence, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.writing.poll(cx, this.silence, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.writing.poll(cx, this.silence, polled)
    }
}
