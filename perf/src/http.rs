//! A call over one HTTP/1.1 connection that is kept, without a client library's own cost.

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::monitor::Monitor;

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// One connection, and what is sent over it.
pub(crate) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects, to call `noop`.
    pub(crate) async fn open(monitor: &Monitor) -> Result<Self> {
        let stream = TcpStream::connect(monitor.address.http).await?;
        stream.set_nodelay(true)?;
        let token = monitor.token()?;
        let request = format!(
            "POST /f/noop HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-length: 0\r\n\r\n"
        );
        let answer = Vec::with_capacity(MAX_HEAD_BYTES);
        Ok(Self { stream, request: request.into_bytes(), answer })
    }

    /// One request and its answer, which must be 200 and without a body.
    pub(crate) async fn call(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        while !self.answer.ends_with(b"\r\n\r\n") {
            ensure!(self.answer.len() < MAX_HEAD_BYTES, "the answer has no end");
            let read = self.stream.read_buf(&mut self.answer).await?;
            ensure!(read > 0, "the monitor closed the connection");
        }
        let empty = |part: &[u8]| part.eq_ignore_ascii_case(b"content-length: 0\r");
        if !self.answer.starts_with(b"HTTP/1.1 200") || !self.answer.windows(18).any(empty) {
            let found = String::from_utf8_lossy(&self.answer);
            bail!("expected 200 without a body; found {found}");
        }
        Ok(())
    }
}
