//! Managers that can't reach each other: what each of them says, what goes on, and how they come
//! together again.

use super::{
    managers::{SeveralManagers, managers, says, until_equal},
    network::TestNetwork,
    stage::{Client, Testbed, Worker},
};

/// Three managers, each a machine of its own network; the first one leads.
struct PartedManagers {
    // Dropped first: nothing of theirs runs when the network goes.
    others: [Worker; 2],
    cluster: SeveralManagers,
    network: TestNetwork,
}

impl PartedManagers {
    fn new() -> PartedManagers {
        let network = TestNetwork::new(3);
        let mut stage = Testbed::new();
        stage.start_under(&network.as_machine(1));
        let cluster = SeveralManagers::of(stage, &TestNetwork::address(1));
        let others = [(2, "two"), (3, "three")].map(|(machine, name)| {
            let program = network.as_machine(machine);
            cluster.join_under(&program, name, "manager", &TestNetwork::address(machine))
        });
        cluster.until_managers(&cluster.stage.client(), 3);
        PartedManagers { others, cluster, network }
    }

    fn clients(&self) -> [Client; 3] {
        let [two, three] = &self.others;
        [self.cluster.stage.client(), two.client(), three.client()]
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        self.cluster.stage.wait(what, holds);
    }
}

/// Whether a manager says that it has no majority, wherever it is asked.
fn knows_of_no_majority(client: &Client) -> bool {
    let (_, status, _) = client.runs(&["status"]);
    status.contains("no majority of the managers answers this one")
}

fn leads(client: &Client, name: &str) -> bool {
    managers(client).iter().any(|line| *line == format!("{name} Leader"))
}

#[test]
fn a_leader_that_is_cut_off_says_so_while_the_others_go_on_and_follows_them_afterwards() {
    let parted = PartedManagers::new();
    let clients = parted.clients();
    let [one, two, three] = &clients;
    says(two, &["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);
    parted.network.cut(1);
    parted.wait("it knows", || knows_of_no_majority(one));
    let (code, nodes, warning) =
        one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"]);
    assert_eq!(code, 0, "what it knows is shown: {warning}");
    assert!(!nodes.contains("Leader"), "{nodes}");
    assert!(warning.contains("no majority of the managers answers this one"), "{warning}");
    let (code, found, _) = one.runs(&["doctor"]);
    assert_ne!(code, 0, "{found}");
    assert!(found.contains("nothing is decided until 2 of 3 work and reach each other"), "{found}");
    assert!(!found.contains("takes entries"), "{found}");
    let (code, _, refused) = one.runs(&["service", "scale", "-q", "web=5"]);
    assert_ne!(code, 0, "{refused}");
    assert!(refused.contains("no majority of the managers answers this one"), "{refused}");
    says(three, &["service", "scale", "-q", "--detach", "web=2"]);
    parted.network.heal(1);
    parted.wait("it follows", || !knows_of_no_majority(one) && !leads(one, "self"));
    until_equal(&parted.cluster.stage, &clients);
    says(one, &["service", "rm", "web"]);
}

#[test]
fn managers_that_all_lost_each_other_go_on_when_two_of_them_meet_again() {
    let parted = PartedManagers::new();
    let clients = parted.clients();
    let [one, two, three] = &clients;
    says(one, &["service", "create", "-q", "--name", "web", "/bin/sleep", "600"]);
    (1..=3).for_each(|machine| parted.network.cut(machine));
    for client in &clients {
        parted.wait("each knows", || knows_of_no_majority(client));
    }
    let pids = parted.cluster.stage.pids("web");
    assert_eq!(pids.len(), 1, "what was committed is still shown");
    parted.network.heal(2);
    parted.network.heal(3);
    parted.wait("two are enough", || leads(two, "two") || leads(two, "three"));
    says(three, &["service", "update", "-q", "--label-add", "a=b", "web"]);
    assert!(knows_of_no_majority(one), "it is still alone");
    parted.network.heal(1);
    until_equal(&parted.cluster.stage, &clients);
    says(one, &["service", "rm", "web"]);
}

#[test]
fn a_manager_that_the_leader_does_not_hear_is_shown_so_and_no_demotion_counts_on_it() {
    let parted = PartedManagers::new();
    let [one, _, _] = &parted.clients();
    let shows = |word: &str| {
        let (_, told, _) =
            one.runs(&["node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}"]);
        told.lines().any(|line| line == format!("three {word}"))
    };
    parted.network.cut(3);
    parted.wait("it is away", || shows("Unreachable"));
    let (code, _, refused) = one.runs(&["node", "demote", "two"]);
    assert_ne!(code, 0, "{refused}");
    assert!(refused.contains("need 2 of them, and 1 would be ready: node three is"), "{refused}");
    parted.network.heal(3);
    parted.wait("it is back", || shows("Reachable"));
    says(one, &["node", "demote", "two"]);
    parted.wait("two are left", || managers(one).len() == 2);
}
