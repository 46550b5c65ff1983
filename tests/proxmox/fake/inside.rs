//! What the fake tells of the insides of guests: their addresses, and what an agent reads.

use regatta::driver::proxmox::exchange::Call;
use regatta::resource::cluster::GuestKind;
use serde_json::{Value, json};

use super::{Refusal, World, parameter, refused};

/// What runs inside of a guest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inside {
    pub(crate) addresses: Vec<String>,
    /// What its agent reads at the place of a host key; `None` has no agent.
    pub(crate) host_key: Option<String>,
}

impl World {
    pub(super) fn inside(&self, vmid: u32, rest: &[&str], call: &Call) -> Result<Value, Refusal> {
        let (guest, inside) = (&self.guests[&vmid], self.insides.get(&vmid).cloned().unwrap_or_default());
        let agent = guest.kind == GuestKind::Vm;
        if agent && !guest.running {
            return refused(500, format!("VM {vmid} is not running"));
        }
        if agent && inside.host_key.is_none() {
            return refused(500, "QEMU guest agent is not running");
        }
        let address = |address: &String| json!({"ip-address": address, "ip-address-type": "inet", "prefix": "24"});
        let own: Vec<Value> = inside.addresses.iter().map(address).collect();
        let interfaces = json!([
            {"name": "lo", "hwaddr": "00:00:00:00:00:00", "ip-addresses": [address(&"127.0.0.1".to_owned())]},
            {"name": "eth0", "hwaddr": "bc:24:11:aa:29:30", "ip-addresses": own},
        ]);
        match rest {
            ["interfaces"] if !guest.running => Ok(Value::Null),
            ["interfaces"] => Ok(interfaces),
            ["agent", "network-get-interfaces"] => Ok(json!({ "result": interfaces })),
            ["agent", "file-read"] if parameter(call, "file") == Some("/etc/ssh/ssh_host_ed25519_key.pub") => {
                Ok(json!({ "content": inside.host_key }))
            }
            _ => refused(501, "not implemented"),
        }
    }
}
