//! As much HTTP/1.1 as both ends of a benchmark need: a head, and nothing that costs time.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

/// First line and framing of a message.
#[derive(Default)]
pub struct Head {
    /// Request line or status line.
    pub first: String,
    /// `content-length`, if stated.
    pub length: Option<usize>,
    /// Whether the body comes in chunks.
    pub chunked: bool,
}

impl Head {
    /// Path and query of a request.
    pub fn path(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }
}

/// Reads a head; `None` when the peer closed the connection before one.
pub async fn head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Head>> {
    let mut head = Head::default();
    if stream.read_line(&mut head.first).await? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            bail!("the connection ended within a head");
        }
        let Some((name, value)) = line.split_once(':') else {
            return Ok(Some(head));
        };
        if name.eq_ignore_ascii_case("content-length") {
            head.length = Some(value.trim().parse().context("content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
}

/// Appends the next part of a body in chunks to `body`; `false` at its end.
pub async fn chunk(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> anyhow::Result<bool> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        bail!("the connection ended within a body");
    }
    let size = line.trim().split(';').next().unwrap_or_default();
    let size =
        usize::from_str_radix(size, 16).with_context(|| format!("no chunk size: {line:?}"))?;
    append(stream, body, size).await?;
    stream.read_line(&mut line).await?;
    Ok(size > 0)
}

/// Appends `length` bytes to `body`.
pub async fn append(
    stream: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    length: usize,
) -> anyhow::Result<()> {
    let before = body.len();
    body.resize(before + length, 0);
    let room = body.get_mut(before..).unwrap_or_default();
    stream
        .read_exact(room)
        .await
        .context("the connection ended within a body")?;
    Ok(())
}
