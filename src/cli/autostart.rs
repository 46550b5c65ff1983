//! `regatta autostart`: prints a unit of systemd that starts guests with their host, for who wants to install it himself.

use camino::Utf8Path;

use super::args::{AutostartArgs, Global};
use super::error::{CliError, Exit};
use super::session::Session;
use super::{output, suspend};
use crate::driver::boot::{Reader, Unit, Which};
use crate::effect::{paths, process};

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
    let program = paths::canonical(Utf8Path::new(PROGRAM))?;
    let reader = Reader::ours();
    let unit = Unit {
        program: program.as_str(),
        file: session.origin().as_str(),
        state: session.state().root().as_str(),
        fleet: session.fleet(),
        guests: Which::Named(&guests),
        reader,
    };
    output::data(&unit.text());
    let name = format!("regatta-{}.service", session.fleet());
    let steps = if reader == Reader::Machine {
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
