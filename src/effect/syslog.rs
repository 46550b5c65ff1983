//! A line to the system's log, over its socket (RFC 3164 as glibc writes it).

use std::os::unix::net::UnixDatagram;

/// Where the system's log listens.
const SOCKET: &str = "/dev/log";

/// Facility `authpriv` (10), severity `notice` (5).
const PRIORITY: u8 = 10 * 8 + 5;

/// The longest line that is sent: daemons cut longer ones. The log itself has it whole.
const LINE_LIMIT: usize = 8 << 10;

/// Sends a line. Nobody waits for it: a log that does not listen loses the line, and does not stop what it is about.
pub fn syslog(line: &str) {
    send(SOCKET, line);
}

fn send(socket: &str, line: &str) {
    let plain: String = line.chars().filter(|c| !c.is_control()).collect();
    let end = plain.floor_char_boundary(LINE_LIMIT);
    let message = format!("<{PRIORITY}>regatta[{}]: {}", std::process::id(), &plain[..end]);
    let sent = UnixDatagram::unbound().and_then(|from| {
        from.set_nonblocking(true)?;
        from.send_to(message.as_bytes(), socket)
    });
    if let Err(cause) = sent {
        tracing::warn!("a line did not reach `{socket}`: {cause}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arrives_without_control_characters() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log");
        let listener = UnixDatagram::bind(&socket).unwrap();
        send(socket.to_str().unwrap(), "{\"fact\":\"run\"}\x1b[2J");
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).unwrap();
        let expected = format!("<85>regatta[{}]: {{\"fact\":\"run\"}}[2J", std::process::id());
        assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(expected.as_str()));
        send("/nowhere/log", "is lost, and nothing else happens");
    }
}
