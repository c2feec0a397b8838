//! The WASI of policies whose runtime insists on one: nothing behind it, but that what they print reaches the policy's log.
//!
//! An interpreter says why it gave up on its standard error, and nowhere else.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView};

use crate::contract::logging::Level;
use crate::excerpt::{LOG_BYTES, ending};

/// Bytes of one call's print that are kept: the newest, because a traceback says at its end what went wrong. More than the
/// log takes, since blank lines may follow.
const KEPT: usize = 16 << 10;
/// Stands where the beginning was dropped.
const CUT: &str = "... ";

/// The WASI of one store.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    printed: [(Level, Printed); 2],
}

impl Wasi {
    pub(super) fn new() -> Self {
        let (out, err) = (Printed::default(), Printed::default());
        let ctx = WasiCtxBuilder::new()
            .stdout(out.clone())
            .stderr(err.clone())
            .build();
        Self {
            ctx,
            table: ResourceTable::new(),
            printed: [(Level::Info, out), (Level::Warn, err)],
        }
    }

    pub(super) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.ctx,
            table: &mut self.table,
        }
    }

    /// What was printed since the last time, one text for each stream that said something: its end, as much as the log takes.
    pub(super) fn take_printed(&self) -> Vec<(Level, String)> {
        let said = self.printed.iter().map(|(level, printed)| {
            let mut kept = printed.0.lock().unwrap_or_else(PoisonError::into_inner);
            (*level, std::mem::take(&mut *kept).text())
        });
        said.filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// What a guest prints in one call.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    newest: VecDeque<u8>,
    /// Whether there was more before.
    cut: bool,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        self.newest.extend(bytes);
        let beyond = self.newest.len().saturating_sub(KEPT);
        self.newest.drain(..beyond);
        self.cut |= beyond > 0;
    }

    fn text(mut self) -> String {
        let text = String::from_utf8_lossy(self.newest.make_contiguous());
        let text = text.trim_end();
        if text.is_empty() || !self.cut && text.len() <= LOG_BYTES {
            return text.to_owned();
        }
        format!("{CUT}{}", ending(text, LOG_BYTES - CUT.len()))
    }
}

impl Printed {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.add(bytes);
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(KEPT)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
