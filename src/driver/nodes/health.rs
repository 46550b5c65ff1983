//! What nodes say of their hardware: facts for `status`, and nothing that is planned.

use serde_json::Value;

use super::Nodes;
use super::road::Road;
use crate::driver::privilege::disk_health;
use crate::effect::{Command, Output};
use crate::exec::Failure;
use crate::resource::Observed;
use crate::resource::cluster::{DiskHealth, NodeHealth, NodeSpec};

impl Nodes {
    /// What each node that is asked says of its disks and sensors, and what was seen of those that it has mounted.
    pub async fn health(&self, observed: &Observed) -> Vec<NodeHealth> {
        let mut all = Vec::new();
        for node in self.all.values() {
            let mounts = self.mount_health(node, observed);
            let asked = node.sensors || !node.disks.is_empty();
            if !asked && mounts.is_empty() {
                continue;
            }
            let (cluster, name) = (node.cluster.clone(), node.name.clone());
            let mut health = NodeHealth { cluster, node: name, mounts, ..NodeHealth::default() };
            if asked && let Err(failure) = self.ask(node, &mut health).await {
                health.note = Some(failure.causes.join(": "));
            }
            all.push(health);
        }
        all
    }

    async fn ask(&self, node: &NodeSpec, health: &mut NodeHealth) -> Result<(), Failure> {
        let road = self.road(node).await?;
        for disk in &node.disks {
            health.disks.push(ask_disk(&road, disk).await?);
        }
        if node.sensors {
            let output = road.run.run(&Command::new("sensors").arg("-j")).await?;
            health.sensors = sensors(&json(&output, "sensors")?);
        }
        Ok(())
    }
}

async fn ask_disk(road: &Road, disk: &str) -> Result<DiskHealth, Failure> {
    let output = road.root.run(&disk_health(disk)?).await?;
    let found = json(&output, "smartctl")?;
    let number = |path: &str| found.pointer(path).and_then(Value::as_u64);
    let health = DiskHealth {
        disk: disk.to_owned(),
        model: found.get("model_name").and_then(Value::as_str).map(clean),
        healthy: found.pointer("/smart_status/passed").and_then(Value::as_bool),
        celsius: found.pointer("/temperature/current").and_then(Value::as_i64),
        hours: number("/power_on_time/hours"),
    };
    let said = found.pointer("/smartctl/messages/0/string").and_then(Value::as_str).map(clean);
    match (&health.model, health.healthy, said) {
        (None, None, Some(said)) => Err(Failure::permanent(format!("smartctl says of `{disk}`: {said}"))),
        _ => Ok(health),
    }
}

/// LESSON 36: the exit codes of smartctl are a mask, and `sensors` has one of its own when there are none: what is JSON counts.
fn json(output: &Output, program: &str) -> Result<Value, Failure> {
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = clean(String::from_utf8_lossy(&output.stderr).trim());
        Failure::permanent(format!("`{program}` gave no JSON: {said}"))
    })
}

/// Values of sensors that measure something: `temp1_input`, `fan2_input`, by the words of the chip.
fn sensors(found: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (chip, sensors) in found.as_object().into_iter().flatten() {
        for (sensor, values) in sensors.as_object().into_iter().flatten() {
            let measured = values.as_object().into_iter().flatten().find(|(key, _)| key.ends_with("_input"));
            if let Some(value) = measured.and_then(|(_, value)| value.as_f64()) {
                all.push((format!("{} {}", clean(chip), clean(sensor)), value.to_string()));
            }
        }
    }
    all
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensors_tell_what_they_measure_and_nothing_else() {
        let found = serde_json::json!({
            "coretemp-isa-0000": {"Adapter": "ISA adapter", "Core 0": {"temp2_input": 41.0, "temp2_max": 80.0}},
            "nct6775": {"fan1": {"fan1_input": 980.0}, "in0": {"in0_min": 0.0}},
        });
        let told = [("coretemp-isa-0000 Core 0", "41"), ("nct6775 fan1", "980")];
        assert_eq!(sensors(&found), told.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(sensors(&serde_json::json!({})), []);
    }
}
