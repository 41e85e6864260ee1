//! Packed inputs: gzip and zstd, each also as several members one after the other.
//!
//! That a packed stream is cut off or spoilt is damage, as everything else in a source: what came before it counts. Only a failure of the
//! input itself is an error.

use crate::text::reason;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// What a packed input is read by.
const CHUNK: usize = 64 << 10;
/// What is unpacked at once. A break costs what was unpacked with it, so this is also the most that is lost before one.
const PIECE: usize = 16 << 10;
/// Widest window of a zstd frame: what `zstd --ultra -22` uses.
const ZSTD_WINDOW: u64 = 128 << 20;

/// How an input is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

/// An input, unpacked.
pub(crate) struct Unpacked<'a> {
    stage: Stage<'a>,
    broken: Option<String>,
}

enum Stage<'a> {
    Plain(Raw<'a>),
    Gzip(Box<MultiGzDecoder<Raw<'a>>>),
    Zstd(Box<Zstd<'a>>),
    Done,
}

impl<'a> Unpacked<'a> {
    /// Looks at the first bytes of `input` for how it is packed.
    pub(crate) fn new(input: impl Read + 'a) -> io::Result<Self> {
        let mut raw = Raw { head: [0; 4], at: 0, length: 0, input: Box::new(input), failed: None };
        while raw.length < raw.head.len() {
            match raw.input.read(&mut raw.head[raw.length..]) {
                Ok(0) => break,
                Ok(count) => raw.length += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let head = &raw.head[..raw.length];
        let stage = if head.starts_with(GZIP) {
            Stage::Gzip(Box::new(MultiGzDecoder::new(raw)))
        } else if head == ZSTD {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(ZSTD_WINDOW);
            Stage::Zstd(Box::new(Zstd {
                decoder,
                input: BufReader::with_capacity(CHUNK, raw),
                inside: false,
            }))
        } else {
            Stage::Plain(raw)
        };
        Ok(Self { stage, broken: None })
    }

    pub(crate) const fn packing(&self) -> Packing {
        match self.stage {
            Stage::Plain(_) | Stage::Done => Packing::None,
            Stage::Gzip(_) => Packing::Gzip,
            Stage::Zstd(_) => Packing::Zstd,
        }
    }

    /// What ended a packed stream before its time.
    pub(crate) fn broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// 0 at the end, and where a packed stream is broken.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length =
            if matches!(self.stage, Stage::Plain(_)) { buffer.len() } else { buffer.len().min(PIECE) };
        let buffer = &mut buffer[..length];
        let (error, failed, kind) = match &mut self.stage {
            Stage::Done => return Ok(0),
            Stage::Plain(raw) => return raw.read(buffer).map_err(|error| raw.failed.take().unwrap_or(error)),
            Stage::Gzip(gzip) => match gzip.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) => (error, gzip.get_mut().failed.take(), "gzip"),
            },
            Stage::Zstd(zstd) => match zstd.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) => (error, zstd.input.get_mut().failed.take(), "zstd"),
            },
        };
        self.stage = Stage::Done;
        if let Some(failure) = failed {
            return Err(failure);
        }
        self.broken = Some(format!(
            "what {kind} packed is damaged or ends early, and so does what is read of it: {}",
            reason(&error)
        ));
        Ok(0)
    }
}

/// The input with its first bytes put back. It remembers its own failure, for packers hide it in theirs.
struct Raw<'a> {
    head: [u8; 4],
    at: usize,
    length: usize,
    input: Box<dyn Read + 'a>,
    failed: Option<io::Error>,
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.length {
            let count = buffer.len().min(self.length - self.at);
            buffer[..count].copy_from_slice(&self.head[self.at..self.at + count]);
            self.at += count;
            return Ok(count);
        }
        loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.failed = Some(error);
                    return Err(kind.into());
                }
                read => return read,
            }
        }
    }
}

/// Frames one after the other, those to be skipped left out.
struct Zstd<'a> {
    decoder: FrameDecoder,
    input: BufReader<Raw<'a>>,
    inside: bool,
}

impl Zstd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, strategy).map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            self.inside = false;
        }
    }

    /// Goes into the next frame. `false` where there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.input).take(u64::from(length)), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}
