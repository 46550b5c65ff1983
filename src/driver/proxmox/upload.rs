//! Files of this machine that become volumes: streamed, with a word now and then about how far they are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, interval};

use super::cluster::Cluster;
use super::error::ApiError;
use super::exchange::{Call, Upload};
use super::waiting::Watch;
use crate::effect::files;
use crate::exec::Failure;

/// How often is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// No byte was taken for so long: nobody listens any more.
const STANDSTILL: Duration = Duration::from_secs(120);

impl Cluster {
    /// Uploads a file, and waits for the task that checks its digest and puts it in its place. The outer error is about this
    /// machine.
    pub(super) async fn upload(
        &self,
        call: &Call,
        name: &str,
        path: &str,
        watch: Watch<'_>,
    ) -> Result<Result<(), ApiError>, Failure> {
        if name.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '/')) {
            return Err(Failure::permanent(format!("found the name `{}` of a volume", name.escape_debug()))
                .hint("write one without quotes, slashes and control characters"));
        }
        let path = self.at(path)?;
        let missing = || Failure::permanent(format!("found no file `{path}` to upload"));
        let (file, length) = files::open_to_read(&path)?.ok_or_else(missing)?;
        let sent = Arc::new(AtomicU64::new(0));
        let from = Box::new(Counted { from: tokio::fs::File::from_std(file), count: Arc::clone(&sent) });
        let within = watch.until.saturating_duration_since(Instant::now());
        let file = Upload { name: name.to_owned(), length, from, within };
        let answer = tokio::select! {
            answer = self.api.upload(call, file) => answer,
            stopped = tell(name, length, &sent, watch) => Err(stopped),
        };
        Ok(self.follow(answer, watch).await)
    }

    fn at(&self, written: &str) -> Result<Utf8PathBuf, Failure> {
        match (written.strip_prefix("~/"), &self.home) {
            (None, _) => Ok(Utf8Path::new(written).to_owned()),
            (Some(below), Some(home)) => Ok(home.join(below)),
            (Some(_), None) => Err(Failure::permanent("found no home directory: HOME is not set")),
        }
    }
}

/// Tells how far it is, until it stands still.
async fn tell(name: &str, length: u64, sent: &AtomicU64, watch: Watch<'_>) -> ApiError {
    let (mut ticks, mut last, mut since) = (interval(TOLD_EVERY), 0, Instant::now());
    loop {
        ticks.tick().await;
        let now = sent.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        watch.say(&format!("uploads {name}: {}", percent(now, length)));
        if now < length && since.elapsed() > STANDSTILL {
            let waited = STANDSTILL.as_secs();
            return ApiError::Unknown(format!("the upload stood still for {waited} s at {}", percent(now, length)));
        }
    }
}

fn percent(part: u64, whole: u64) -> String {
    let of = u128::from(part) * 100 / u128::from(whole.max(1));
    format!("{of} %")
}

/// Counts the bytes that are read through it.
struct Counted<R> {
    from: R,
    count: Arc<AtomicU64>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.from).poll_read(context, buffer);
        self.count.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        assert_eq!(percent(0, 0), "0 %");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
    }
}
