//! How a person stops a run: asking once lets running steps finish, asking again does not.

use std::sync::Arc;

use tokio::sync::watch;

/// How much of the run is to be stopped; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelLevel {
    /// Nothing: it goes on.
    None,
    /// No step starts any more; running ones finish within their deadlines.
    Finish,
    /// Running steps are dropped where they stand; what they did is unknown.
    Abort,
}

/// Shared by whoever hears signals and the run. Guests are never touched by it.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<CancelLevel>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(CancelLevel::None)))
    }
}

impl Cancel {
    /// Asks for one level more: call it once per SIGINT or SIGTERM.
    pub fn request(&self) {
        self.0.send_modify(|level| {
            *level = match level {
                CancelLevel::None => CancelLevel::Finish,
                CancelLevel::Finish | CancelLevel::Abort => CancelLevel::Abort,
            };
        });
    }

    /// What has been asked for so far.
    pub fn level(&self) -> CancelLevel {
        *self.0.borrow()
    }

    /// Waits until at least this much has been asked for. The wait ends with the run, which drops it.
    pub async fn reached(&self, level: CancelLevel) {
        // The sender is in `self`, so that waiting cannot fail for want of one.
        let _ = self.0.subscribe().wait_for(|now| *now >= level).await;
    }
}
