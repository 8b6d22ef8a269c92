//! Everything there is, and what happens next.

use super::{
    Report,
    agent::{Agent, Later},
    client::Clients,
    dice::Dice,
    disk::Disk,
    manager::{Manager, Waiter},
    net::Net,
};
use skep_agent::core::{Input, Output as AgentOutput};
use skep_gateway::{
    admit::Request,
    sessions::{Conn, Origin, Output},
    turn::Answer,
};
use skep_proto::{
    Timestamp,
    time::SECOND_NS,
    v1::{Command, FromAgent, ToAgent, from_agent},
};
use std::collections::BTreeMap;

mod faults;
mod healing;

/// Steps remembered for the report of a violation.
const STEPS_SHOWN: usize = 200;
/// The beginning of virtual time.
const EPOCH: Timestamp = Timestamp(1_000_000 * SECOND_NS);

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    AgentStarts(usize),
    ManagerStarts,
    ToManager(Conn, Box<FromAgent>),
    ToAgent(Conn, Box<ToAgent>),
    /// The agent notices that its stream is gone.
    AgentHearsCut(usize, u64),
    /// The manager notices it.
    ManagerHearsCut(Conn),
    /// On a node, in the process of that number.
    Later(usize, u64, Later),
    Synced(u64, usize),
    Command(Command),
    AgentTime(usize),
    ManagerTime,
    Fault,
}

/// The whole world.
pub struct World {
    pub(super) now: Timestamp,
    pub(super) dice: Dice,
    pub(super) disk: Disk,
    pub(super) manager: Option<Manager>,
    pub(super) agents: Vec<Agent>,
    pub(super) net: Net,
    pub(super) clients: Clients,
    pub(super) commits: u64,
    processes: Vec<u64>,
    queue: BTreeMap<(Timestamp, u64), Event>,
    order: u64,
    lives: u64,
    faults: bool,
    trace: Vec<String>,
    crashes: (usize, usize),
}

impl World {
    /// Nothing runs yet; everything is about to start.
    pub fn new(agents: usize, mut dice: Dice) -> World {
        let agents: Vec<Agent> = (0..agents).map(|index| Agent::new(index, &mut dice)).collect();
        let mut world = World {
            now: EPOCH,
            dice,
            disk: Disk::default(),
            manager: None,
            processes: vec![0; agents.len()],
            agents,
            net: Net::default(),
            clients: Clients::default(),
            commits: 0,
            queue: BTreeMap::new(),
            order: 0,
            lives: 0,
            faults: true,
            trace: Vec::new(),
            crashes: (0, 0),
        };
        world.plan(0, Event::ManagerStarts);
        for index in 0..world.agents.len() {
            world.plan(SECOND_NS, Event::AgentStarts(index));
        }
        world.plan(SECOND_NS, Event::Fault);
        world
    }

    /// The next thing happens, and what follows from it at once.
    pub fn step(&mut self) {
        let Some(((at, _), event)) = self.queue.pop_first() else { return };
        self.now = at;
        self.trace.push(format!("{:>14} {}", at.0 - EPOCH.0, line(&event)));
        self.happen(event);
        self.run_manager();
        for index in 0..self.agents.len() {
            self.run_agent(index);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ManagerStarts => self.start_manager(),
            Event::AgentStarts(index) => {
                if self.agents[index].core.is_none() {
                    self.processes[index] += 1;
                    self.agents[index].start(&mut self.dice, self.now);
                }
            }
            Event::ToManager(conn, message) => self.manager_receives(conn, *message),
            Event::ToAgent(conn, message) => {
                if let Some(stream) = self.net.get(conn) {
                    let input = Input::Received { line: stream.line, message };
                    self.agent_hears(stream.agent, input);
                }
            }
            Event::AgentHearsCut(index, line) => self.agent_hears(index, Input::Broken { line }),
            Event::ManagerHearsCut(conn) => {
                if let Some(manager) = &mut self.manager {
                    manager.sessions.handle_gone(conn);
                }
            }
            Event::Later(index, process, later) => self.later(index, process, later),
            Event::Synced(life, number) => self.synced(life, number),
            Event::Command(command) => self.command(command),
            Event::AgentTime(index) => {
                if let Some(core) = &mut self.agents[index].core {
                    core.handle_timeout(self.now);
                }
            }
            Event::ManagerTime => {
                if let Some(manager) = &mut self.manager {
                    manager.sessions.handle_timeout(self.now);
                }
            }
            Event::Fault => self.fault(),
        }
    }

    fn start_manager(&mut self) {
        if self.manager.is_some() {
            return;
        }
        self.lives += 1;
        match Manager::start(&self.disk, self.lives, &mut self.dice) {
            Ok(manager) => self.manager = Some(manager),
            Err(words) => unreachable!("the manager's own log does not replay: {words}"),
        }
    }

    fn manager_receives(&mut self, conn: Conn, message: FromAgent) {
        let (Some(manager), Some(_)) = (&mut self.manager, self.net.get(conn)) else { return };
        match message.message {
            Some(from_agent::Message::Hello(hello)) => {
                let number = self.dice.roll() | 1;
                let view = manager.committed.clone();
                manager.sessions.handle_hello(conn, Origin::Outside, hello, number, &view, self.now);
            }
            message => manager.sessions.handle_message(conn, FromAgent { message }, self.now),
        }
    }

    fn agent_hears(&mut self, index: usize, input: Input) {
        if let Some(core) = &mut self.agents[index].core {
            core.handle(input, self.now);
        }
    }

    fn later(&mut self, index: usize, process: u64, later: Later) {
        match later {
            Later::Done { task, ticket, outcome } => {
                if process == self.processes[index] {
                    self.agent_hears(index, Input::Done { task, ticket, outcome: *outcome });
                }
            }
            Later::Exit { task, code } => {
                let follows = self.agents[index].exit(task, code);
                self.plan_later(index, follows);
            }
        }
    }

    fn synced(&mut self, life: u64, number: usize) {
        let Some(manager) = self.manager.as_mut().filter(|manager| manager.life == life) else { return };
        self.disk.sync(number);
        self.commits += 1;
        let answers = manager.committed(number);
        self.tell_clients(answers);
    }

    fn tell_clients(&mut self, answers: Vec<(Waiter, Answer)>) {
        for (waiter, answer) in answers {
            let Waiter::Client(number) = waiter else { continue };
            if let Some(again) = self.clients.hear(number, &answer) {
                self.plan(SECOND_NS, Event::Command(again));
            }
        }
    }

    fn command(&mut self, command: Command) {
        let number = command.id.map_or(0, |id| id.number);
        match &mut self.manager {
            Some(manager) => manager.ask(number, Request::Command(command)),
            None => self.plan(SECOND_NS, Event::Command(command)),
        }
    }

    fn run_manager(&mut self) {
        let Some(manager) = &mut self.manager else { return };
        let mut outputs = manager.session_outputs();
        while manager.wants_turn(self.now) {
            match manager.turn(&mut self.disk, self.now, &mut self.dice) {
                Some(number) => {
                    let life = manager.life;
                    let takes = self.dice.below(SECOND_NS / 100);
                    self.order += 1;
                    self.queue.insert((self.now + takes, self.order), Event::Synced(life, number));
                }
                None => {
                    let answers = manager.settled();
                    for (waiter, answer) in answers {
                        if let Waiter::Client(number) = waiter {
                            self.clients.hear(number, &answer);
                        }
                    }
                }
            }
            outputs.extend(manager.session_outputs());
        }
        outputs.extend(manager.session_outputs());
        let times = [manager.sessions.poll_timeout(), manager.wake_at];
        for output in outputs {
            self.manager_says(output);
        }
        for at in times.into_iter().flatten() {
            self.plan_at(at.max(self.now + 1), Event::ManagerTime);
        }
    }

    fn manager_says(&mut self, output: Output) {
        match output {
            Output::Send(conn, message) => {
                let at = self.now + self.dice.below(SECOND_NS / 50);
                let at = self.net.arrival(conn, false, at);
                if self.faults && self.dice.once_in(40) {
                    self.plan_at(at, Event::ToAgent(conn, Box::new(message.clone())));
                }
                self.plan_at(at, Event::ToAgent(conn, Box::new(message)));
            }
            // What was sent before arrives before the end does.
            Output::Close(conn) => {
                if let Some(stream) = self.net.get(conn) {
                    let at = self.net.arrival(conn, false, self.now + SECOND_NS / 50);
                    self.plan_at(at, Event::AgentHearsCut(stream.agent, stream.line));
                }
            }
            Output::Ask { .. } => {}
        }
    }

    fn run_agent(&mut self, index: usize) {
        let Some(core) = &mut self.agents[index].core else { return };
        let mut outputs = Vec::new();
        while let Some(output) = core.poll_output() {
            outputs.push(output);
        }
        let timeout = core.poll_timeout();
        for output in outputs {
            self.agents[index].keep(&output);
            self.agent_says(index, output);
        }
        if let Some(at) = timeout {
            self.plan_at(at.max(self.now + 1), Event::AgentTime(index));
        }
    }

    fn agent_says(&mut self, index: usize, output: AgentOutput) {
        match output {
            AgentOutput::Act(action) => {
                let follows = self.agents[index].act(action, &mut self.dice);
                self.plan_later(index, follows);
            }
            AgentOutput::Dial { line } => {
                self.drop_stream(index);
                if self.manager.is_none() || (self.faults && self.dice.once_in(6)) {
                    return self.plan(SECOND_NS / 100, Event::AgentHearsCut(index, line));
                }
                self.net.open(index, line);
                self.agent_hears(index, Input::Connected { line });
                self.run_agent(index);
            }
            AgentOutput::Send(message) => {
                let Some(conn) = self.net.of_agent(index) else { return };
                let at = self.now + self.dice.below(SECOND_NS / 50);
                let at = self.net.arrival(conn, true, at);
                let repeatable = matches!(message.message, Some(from_agent::Message::Report(_)));
                if self.faults && repeatable && self.dice.once_in(40) {
                    self.plan_at(at, Event::ToManager(conn, message.clone()));
                }
                self.plan_at(at, Event::ToManager(conn, message));
            }
            AgentOutput::HangUp { .. } => self.drop_stream(index),
            AgentOutput::Halt(_) => self.agents[index].core = None,
            AgentOutput::Joined { .. }
            | AgentOutput::Write(_)
            | AgentOutput::Logs(_)
            | AgentOutput::LogCancel { .. } => {}
        }
    }

    fn drop_stream(&mut self, index: usize) {
        if let Some(conn) = self.net.of_agent(index) {
            self.net.cut(conn);
            self.plan(SECOND_NS / 100, Event::ManagerHearsCut(conn));
        }
    }

    fn plan_later(&mut self, index: usize, follows: Vec<(u64, Later)>) {
        let process = self.processes[index];
        for (after, later) in follows {
            self.plan(after, Event::Later(index, process, later));
        }
    }

    fn plan(&mut self, after: u64, event: Event) {
        self.plan_at(self.now + after, event);
    }

    fn plan_at(&mut self, at: Timestamp, event: Event) {
        let same_time = matches!(event, Event::AgentTime(_) | Event::ManagerTime);
        if same_time
            && self.queue.range((at, 0)..=(at, u64::MAX)).any(|(_, known)| line(known) == line(&event))
        {
            return;
        }
        self.order += 1;
        self.queue.insert((at, self.order), event);
    }

    /// The newest steps.
    pub fn last_steps(&self) -> Vec<String> {
        self.trace[self.trace.len().saturating_sub(STEPS_SHOWN)..].to_vec()
    }

    /// What came of it all.
    pub fn report(&self) -> Report {
        Report {
            trace: self.trace.clone(),
            records: self.manager.as_ref().map_or(0, |manager| manager.committed.position().revision.0),
            crashes: self.crashes,
            acknowledged: self.clients.acknowledged,
        }
    }
}

fn line(event: &Event) -> String {
    let mut text = format!("{event:?}");
    if text.len() > 160 {
        let cut = (0..=160).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    text
}
