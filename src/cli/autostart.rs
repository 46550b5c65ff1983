//! `regatta autostart`: a unit of systemd that starts guests with their host.

use camino::Utf8Path;

use super::args::{AutostartArgs, Global};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, suspend};
use crate::effect::{paths, process};
use crate::render::{Unit, unit};
use crate::resource::{Address, Resource};

/// What runs this program, as the kernel tells it.
const PROGRAM: &str = "/proc/self/exe";

/// There where systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Prints the unit, and how it is put in place.
pub(super) async fn run(global: &Global, args: &AutostartArgs) -> Result<Exit, CliError> {
    let session = Session::open_for_guests(global).await?;
    let guests = suspend::named(&session, &args.guests).await?;
    if guests.is_empty() {
        let error = CliError::failure("found no guest that is made yet; nothing was printed");
        return Err(error.hint("`regatta apply` makes declared guests"));
    }
    if let Some(guest) = guests.iter().find(|guest| is_bridged(&session, guest)) {
        let error = CliError::failure(format!("guest `{guest}` is plugged to a bridge, which is gone after a reboot"));
        return Err(error.hint("`regatta apply` makes it again: run that after a reboot, or from a unit of your own"));
    }
    let program = paths::canonical(Utf8Path::new(PROGRAM))?;
    let as_root = process::user_id() == 0;
    let text = unit(Unit {
        program: program.as_str(),
        file: session.origin().as_str(),
        state: session.state().root().as_str(),
        fleet: session.fleet(),
        guests: &guests,
        wanted_by: if as_root { "multi-user.target" } else { "default.target" },
    });
    output::data(&text);
    let name = format!("regatta-{}.service", session.fleet());
    let steps = if as_root {
        format!("put it into /etc/systemd/system/{name}, then: systemctl enable {name}\n")
    } else {
        format!(
            "put it into ~/.config/systemd/user/{name}, then: systemctl --user enable {name}\n\
             and as root, so that it does not wait for a login: loginctl enable-linger {}\n",
            process::account(None).map_err(CliError::failure)?.name
        )
    };
    output::talk(&steps);
    if !paths::exists(Utf8Path::new(SYSTEMD))? {
        output::talk("this machine does not run systemd: nothing here would read the unit\n");
    }
    Ok(Exit::Success)
}

/// Whether a guest is declared to be plugged to a bridge.
fn is_bridged(session: &Session, guest: &str) -> bool {
    let declared = session.desired().resources.get(&Address::vm(guest));
    matches!(declared.map(|declared| &declared.resource), Some(Resource::Vm(vm)) if vm.network.link.is_some())
}
