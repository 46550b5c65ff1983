//! `regatta status`: each guest of the fleet as it is.

use super::args::{Format, Global};
use super::error::{CliError, Exit};
use super::output;
use super::session::Session;
use crate::driver::Store;
use crate::plan::Options;
use crate::render;
use crate::resource::Reading;

/// Shows the guests. Reads the same as `plan`, and says of each whether it is as declared.
pub(super) async fn run(global: &Global) -> Result<Exit, CliError> {
    let session = Session::open_without_secrets(global).await?;
    let observed = session.observe().await?;
    let plan = crate::plan::plan(session.desired(), &observed, &Options::default());
    let mut guests = crate::plan::status(&plan, &observed);
    for guest in &mut guests {
        let seen = observed.guests.get(&guest.name).and_then(Reading::present);
        guest.usage = seen.and_then(|seen| session.guests().usage(seen));
    }
    let store = Store::new(session.state().store());
    let store = store.usage().map_err(|cause| CliError::failure("cannot read the store").cause(cause))?;
    let nodes = session.nodes().health(&observed).await;
    match global.format {
        Format::Human => {
            let screen = output::data_screen();
            output::data(
                &(render::status(&guests, screen)
                    + &render::node_lines(&nodes, screen)
                    + &render::store_line(&store, screen)),
            );
        }
        Format::Json => output::data(&render::status_json(session.fleet(), &guests, &nodes, Some(store))?),
    }
    Ok(Exit::Success)
}
