//! Interfaces as `ip -json -details address show` prints them (iproute2).

use std::collections::BTreeSet;

use serde::Deserialize;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Link {
    /// Its name.
    #[serde(default)]
    pub(super) ifname: String,
    /// What it says of itself: the mark of a bridge of ours.
    #[serde(default)]
    pub(super) ifalias: Option<String>,
    /// The bridge that it is plugged to.
    #[serde(default)]
    pub(super) master: Option<String>,
    #[serde(default)]
    flags: BTreeSet<String>,
    #[serde(default)]
    linkinfo: Info,
    #[serde(default)]
    addr_info: Vec<Assigned>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Info {
    #[serde(default)]
    info_kind: Option<String>,
    #[serde(default)]
    info_slave_data: Slave,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Slave {
    #[serde(default)]
    isolated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Assigned {
    #[serde(default)]
    scope: String,
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

impl Link {
    /// Whether it is a bridge.
    pub(super) fn is_bridge(&self) -> bool {
        self.linkinfo.info_kind.as_deref() == Some("bridge")
    }

    /// Whether it is switched on.
    pub(super) fn is_up(&self) -> bool {
        self.flags.contains("UP")
    }

    /// Whether somebody uses it: the other end of a tap is open.
    pub(super) fn is_in_use(&self) -> bool {
        self.flags.contains("LOWER_UP")
    }

    /// Whether it is kept from the other interfaces of its bridge.
    pub(super) const fn is_isolated(&self) -> bool {
        self.linkinfo.info_slave_data.isolated
    }

    /// Its addresses with the length of their prefixes; not those that the kernel gives by itself.
    pub(super) fn addresses(&self) -> BTreeSet<String> {
        let chosen = self.addr_info.iter().filter(|address| address.scope != "link");
        chosen.map(|address| format!("{}/{}", address.local, address.prefixlen)).collect()
    }
}

/// Reads what `ip` printed.
///
/// # Errors
/// It is something else.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Link>, String> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(json).map_err(|error| format!("the output of `ip` cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_and_what_is_plugged_to_it_are_read() {
        let text = br#"[{"ifindex":2,"ifname":"rgt0","flags":["BROADCAST","UP"],"ifalias":"x","linkinfo":{"info_kind":"bridge"},
            "addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"},
            {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},
            {"ifname":"rgt1","flags":["UP","LOWER_UP"],"master":"rgt0",
            "linkinfo":{"info_kind":"tun","info_slave_data":{"isolated":true}}}, {}]"#;
        let links = parse(text).unwrap();
        assert_eq!((links[0].is_bridge(), links[0].is_up(), links[0].is_in_use()), (true, true, false));
        assert_eq!(links[0].addresses(), BTreeSet::from(["10.0.0.1/24".to_owned()]));
        assert_eq!((links[1].is_bridge(), links[1].is_isolated(), links[1].is_in_use()), (false, true, true));
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert!(parse(b"Command line is not complete").is_err());
    }
}
