//! Reading a layer: a tar file, compressed or not.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::sync::mpsc;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};

use crate::driver::image::oci::{Compression, Layer};

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// A layer that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver) struct Reader {
    name: String,
    path: Utf8PathBuf,
    compression: Compression,
    /// The directory that is taken for the root, with a slash at its end.
    below: Vec<u8>,
}

impl Reader {
    /// A layer of a registry, which says how it is compressed.
    pub(in crate::driver::image) fn of_layer(layer: Layer) -> Self {
        Self { name: layer.name, path: layer.path, compression: layer.compression, below: Vec::new() }
    }

    /// A tar file, whose first bytes say how it is compressed; `None` for a method that we do not read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(in crate::driver) fn of_file(name: &str, path: &Utf8Path) -> io::Result<Option<Self>> {
        let mut start = Vec::new();
        File::open(path)?.take(6).read_to_end(&mut start)?;
        let compression = match start[..] {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] | [b'B', b'Z', b'h', ..] => return Ok(None),
            _ => Compression::None,
        };
        Ok(Some(Self { name: name.to_owned(), path: path.to_owned(), compression, below: Vec::new() }))
    }

    /// The same, of which only what lies below a directory is taken, as if that were the root.
    pub(in crate::driver) fn below(self, directory: &[u8]) -> Self {
        Self { below: [directory, b"/"].concat(), ..self }
    }

    /// What an entry is called in it; `None` for one that is not taken.
    pub(super) fn inside<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        path.strip_prefix(self.below.as_slice())
    }

    /// What it is called in errors.
    pub(in crate::driver::image) fn name(&self) -> &str {
        &self.name
    }

    /// The tar file from its start.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read>> {
        let file = BufReader::with_capacity(BUFFER, File::open(&self.path)?);
        Ok(match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(ahead(flate2::bufread::MultiGzDecoder::new(file))),
            Compression::Zstd => Box::new(ahead(Zstd { frame: None, rest: Some(file) })),
        })
    }
}

/// Pieces that wait for their reader.
const WAITING: usize = 16;

/// Reads on another thread what somebody is going to read: decompressing and writing keep two processors busy.
fn ahead(mut from: impl Read + Send + 'static) -> Ahead {
    let (sender, pieces) = mpsc::sync_channel(WAITING);
    thread::spawn(move || {
        loop {
            let mut piece = Vec::with_capacity(BUFFER);
            let read = from.by_ref().take(BUFFER as u64).read_to_end(&mut piece);
            let is_last = !matches!(read, Ok(count) if count > 0);
            // Nobody listens any more when the layer turned out to be unusable.
            if sender.send(read.map(|_| piece)).is_err() || is_last {
                return;
            }
        }
    });
    Ahead { pieces, piece: Cursor::default() }
}

/// What another thread reads.
struct Ahead {
    pieces: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            // An empty piece, or none because it was there already, is the end.
            self.piece = Cursor::new(self.pieces.recv().unwrap_or_else(|_| Ok(Vec::new()))?);
        }
        self.piece.read(buffer)
    }
}

/// zstd frames, one after the other: a compressor may write several.
struct Zstd {
    frame: Option<Box<ruzstd::decoding::StreamingDecoder<BufReader<File>, ruzstd::decoding::FrameDecoder>>>,
    rest: Option<BufReader<File>>,
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let read = frame.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
                self.rest = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let frame = ruzstd::decoding::StreamingDecoder::new(rest).map_err(io::Error::other)?;
            self.frame = Some(Box::new(frame));
        }
    }
}
