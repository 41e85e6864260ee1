//! A client's stream. Once it observes, what it still sends is read here and thrown away: hyper doesn't read on while it has
//! bytes of a next request, and so would never notice that the client has gone.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

/// The stream as hyper has it.
pub(super) struct Client<S> {
    reads: Reads<S>,
    writes: WriteHalf<S>,
}

/// The reading side, until it is taken away from hyper.
pub(super) struct Reads<S>(Arc<Mutex<Option<ReadHalf<S>>>>);

impl<S: AsyncRead + AsyncWrite> Client<S> {
    pub(super) fn new(stream: S) -> (Self, Reads<S>) {
        let (reads, writes) = tokio::io::split(stream);
        let reads = Arc::new(Mutex::new(Some(reads)));
        (Self { reads: Reads(Arc::clone(&reads)), writes }, Reads(reads))
    }
}

impl<S: AsyncRead> Reads<S> {
    /// Takes the reading side; hyper reads nothing from then on. Ends when the client says no more or has gone.
    pub(super) async fn ended(self) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut reads) = taken else { return };
        let mut room = [0; 512];
        while matches!(reads.read(&mut room).await, Ok(count) if count != 0) {}
    }
}

impl<S: AsyncRead> AsyncRead for Client<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reads.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(reads) => Pin::new(reads).poll_read(task, room),
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite> AsyncWrite for Client<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writes).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writes).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writes).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writes).poll_write_vectored(task, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.writes.is_write_vectored()
    }
}
