//! `regatta repin GUEST FINGERPRINT`: trusts another host key of a guest.

use super::args::{Global, RepinArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, run};
use crate::resource::Resource;

/// Pins the key, under the host's lock: a run must not write the old one again.
pub(super) async fn run(global: &Global, args: &RepinArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let _lock = run::lock(&session, "regatta repin", args.wait).await?;
    let on_cluster = session.desired().resources.values().find_map(|declared| match &declared.resource {
        Resource::ClusterGuest(spec) if spec.name == args.guest => Some(&spec.reach),
        _ => None,
    });
    match on_cluster {
        Some(reach) => session.insides().pin(reach, &args.fingerprint).await?,
        None => session.guests().pin(&args.guest, &args.fingerprint).await?,
    }
    output::talk(&format!("{} is trusted with {}\n", args.guest, args.fingerprint));
    Ok(Exit::Success)
}
