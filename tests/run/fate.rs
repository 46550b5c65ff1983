//! When and how the process dies, and a journal's log that dies with it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use regatta::exec::journal::Log;
use tokio::sync::Notify;

/// The moment of an append at which the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before anything is written.
    Before,
    /// When so many hundredths of the bytes are written.
    Torn(usize),
    /// When everything is written, and the write has not returned.
    Written,
    /// When the append has returned, and nothing has been done about it yet.
    Durable,
}

/// Every moment that differs.
pub(crate) const MOMENTS: [Moment; 6] =
    [Moment::Before, Moment::Torn(1), Moment::Torn(50), Moment::Torn(99), Moment::Written, Moment::Durable];

/// What ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    /// Nothing.
    #[default]
    Natural,
    /// This append of the journal, counted from 0.
    Append(usize, Moment),
    /// This move in the world, counted from 0: it is not made any more.
    Move(u64),
}

/// Whether the process lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    end: End,
    dead: Arc<AtomicBool>,
    death: Arc<Notify>,
}

impl Fate {
    pub(crate) fn new(end: End) -> Self {
        Self { end, ..Self::default() }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.death.notify_one();
    }

    /// Returns when the process has died.
    pub(crate) async fn death(&self) {
        self.death.notified().await;
    }

    pub(crate) fn dies_at_move(&self, number: u64) -> bool {
        if self.end == End::Move(number) {
            self.die();
        }
        self.is_dead()
    }
}

/// A journal's bytes, which outlive the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
    pub(crate) appends: Arc<Mutex<usize>>,
}

/// Appends to a disk until the process dies.
#[derive(Debug)]
pub(crate) struct MortalLog {
    pub(crate) disk: Disk,
    pub(crate) fate: Fate,
}

impl Log for MortalLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.fate.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        let mut appends = self.disk.appends.lock().unwrap();
        let number = *appends;
        *appends += 1;
        let moment = match self.fate.end {
            End::Append(at, moment) if at == number => moment,
            _ => {
                self.disk.bytes.lock().unwrap().extend_from_slice(bytes);
                return Ok(());
            }
        };
        let written = match moment {
            Moment::Before => 0,
            Moment::Torn(hundredths) => bytes.len() * hundredths / 100,
            Moment::Written | Moment::Durable => bytes.len(),
        };
        self.disk.bytes.lock().unwrap().extend_from_slice(&bytes[..written]);
        self.fate.die();
        if moment == Moment::Durable { Ok(()) } else { Err(io::Error::other("the process died")) }
    }
}
