//! Machines in network namespaces of a test's own, joined by a bridge. A machine is cut off by
//! closing its port of the bridge: what it sends and what is sent to it vanishes, and nobody is
//! told.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Networks that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The namespaces. They are removed with it.
pub(crate) struct TestNetwork {
    /// What the names of its namespaces begin with.
    name: String,
    machines: usize,
}

impl TestNetwork {
    /// So many machines, numbered from 1.
    pub(crate) fn new(machines: usize) -> TestNetwork {
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let network = TestNetwork { name: format!("skep{}-{made}", std::process::id()), machines };
        let switch = network.switch();
        ip(&["netns", "add", &switch]);
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &switch, "link", "set", "br0", "up"]);
        for machine in 1..=machines {
            let (space, port) = (network.space(machine), port(machine));
            ip(&["netns", "add", &space]);
            let pair =
                ["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0"];
            ip(&[&pair[..], &["netns", &space]].concat());
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
            let address = format!("{}/24", TestNetwork::address(machine));
            ip(&["-n", &space, "address", "add", &address, "dev", "eth0"]);
            ip(&["-n", &space, "link", "set", "eth0", "up"]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
        }
        network
    }

    /// Where a machine is found.
    pub(crate) fn address(machine: usize) -> String {
        format!("10.213.0.{machine}")
    }

    /// Runs a program as a machine: its name and arguments follow.
    pub(crate) fn as_machine(&self, machine: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(machine)].map(str::to_owned).to_vec()
    }

    /// From now on nobody reaches the machine, and it nobody.
    pub(crate) fn cut(&self, machine: usize) {
        self.set(machine, "disabled");
    }

    /// They reach each other again.
    pub(crate) fn heal(&self, machine: usize) {
        self.set(machine, "forwarding");
    }

    fn set(&self, machine: usize, state: &str) {
        let bridge = ["netns", "exec", &self.switch(), "bridge", "link", "set", "dev"];
        ip(&[&bridge[..], &[&port(machine), "state", state]].concat());
    }

    fn switch(&self) -> String {
        format!("{}-0", self.name)
    }

    fn space(&self, machine: usize) -> String {
        format!("{}-{machine}", self.name)
    }
}

impl Drop for TestNetwork {
    fn drop(&mut self) {
        for machine in 0..=self.machines {
            Command::new("ip").args(["netns", "del", &self.space(machine)]).status().ok();
        }
    }
}

fn port(machine: usize) -> String {
    format!("port{machine}")
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().unwrap();
    assert!(done.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}
