//! Reading a layer: a tar file, compressed or not.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};

use crate::driver::image::oci::{Compression, Layer};

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;

/// A layer that can be read several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::driver::image) struct Reader {
    name: String,
    path: Utf8PathBuf,
    compression: Compression,
}

impl Reader {
    /// Layers of a registry, which says how they are compressed.
    pub(in crate::driver::image) fn of_layers(layers: &[Layer]) -> Vec<Self> {
        let count = layers.len();
        let reader = |(index, layer): (usize, &Layer)| Self {
            name: format!("layer {} of {count}", index + 1),
            path: layer.path.clone(),
            compression: layer.compression,
        };
        layers.iter().enumerate().map(reader).collect()
    }

    /// A tar file, whose first bytes say how it is compressed; `None` for a method that we do not read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(in crate::driver::image) fn of_file(name: &str, path: &Utf8Path) -> io::Result<Option<Self>> {
        let mut start = Vec::new();
        File::open(path)?.take(6).read_to_end(&mut start)?;
        let compression = match start[..] {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] | [b'B', b'Z', b'h', ..] => return Ok(None),
            _ => Compression::None,
        };
        Ok(Some(Self { name: name.to_owned(), path: path.to_owned(), compression }))
    }

    /// What it is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The tar file from its start.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read>> {
        let file = BufReader::with_capacity(BUFFER, File::open(&self.path)?);
        Ok(match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, flate2::bufread::MultiGzDecoder::new(file))),
            Compression::Zstd => Box::new(Zstd { frame: None, rest: Some(file) }),
        })
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
