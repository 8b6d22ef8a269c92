//! The manager's side of the world: it starts, hears, takes turns, and its disk syncs.

use super::{LogTakes, Occurrence, SimulatedEvent, SimulatedWorld};
use crate::simulator::{manager::ManagerProcess, net::Direction};
use skep_gateway::{hub::core::HubOutput, sessions::Conn};
use skep_proto::{
    Timestamp,
    time::SECOND_NS,
    v1::{FromAgent, ToAgent, from_agent, to_agent},
};

/// A message is under way for so long at most.
pub(super) const FLIGHT_NS_MAX: u64 = SECOND_NS / 50;

/// One sync in so many covers whatever was written before it ended.
const ONE_IN_WIDE_SYNCS: u64 = 4;

/// The log's time that leaps by less at the start of a process ends no wait too early.
const LEAP_NS: u64 = SECOND_NS / 200;

impl SimulatedWorld {
    pub(super) fn start_manager(&mut self) {
        if self.manager.is_some() {
            return;
        }
        self.lives += 1;
        let clocks = self.clocks();
        match ManagerProcess::start(&mut self.disk, self.lives, &self.settings, clocks) {
            Ok((manager, lost)) => {
                self.mishaps.entries_lost += lost;
                self.manager = Some(manager);
            }
            Err(message) => panic!("LOG-1: the manager does not start: {message}"),
        }
        self.notice_leap();
        self.tell_space();
        self.manager_timer = None;
        self.synced_at = self.now;
        self.happenings.push(Occurrence::TenureBegan);
    }

    /// The log's time goes on from the wall clock's: further than the true time, where the wall
    /// clock was set.
    fn notice_leap(&mut self) {
        let Some(newest) = self.disk.safe().last() else { return };
        let passed = self.now.since(newest.decided_at);
        let passed_in_log = self.clocks().wall.since(Timestamp(newest.entry.header.at));
        if passed_in_log > passed + LEAP_NS {
            self.leapt_at = self.now;
        }
    }

    /// The manager's process goes on: what it has not done in the meantime says nothing about
    /// anybody else.
    pub(super) fn go_on(&mut self) {
        if self.manager.is_some() && self.now == self.stands_until {
            self.note(|| "the manager goes on".into());
            self.went_on_at = self.now;
            self.happenings.push(Occurrence::WentOn);
        }
    }

    /// The manager looks at its disk.
    pub(super) fn tell_space(&mut self) {
        let (share, clocks) = (self.free_share, self.clocks());
        if let Some(manager) = &mut self.manager {
            manager.space(share, clocks);
        }
    }

    pub(super) fn manager_time(&mut self) {
        if self.manager_timer.is_some_and(|at| at <= self.now) {
            self.manager_timer = None;
        }
        let clocks = self.clocks();
        if let Some(manager) = &mut self.manager {
            manager.time(clocks);
        }
    }

    pub(super) fn manager_hears_cut(&mut self, conn: Conn) {
        if let Some(manager) = &mut self.manager {
            manager.gone(conn);
        }
    }

    pub(super) fn manager_receives(&mut self, conn: Conn, message: FromAgent) {
        let (Some(manager), Some(stream)) = (&mut self.manager, self.net.get(conn)) else { return };
        match message.message {
            Some(from_agent::Message::Hello(hello)) => {
                let number = self.dice.roll() | 1;
                self.greeted[stream.agent] = self.now;
                if let Some(peer) = stream.certificate {
                    manager.hello(conn, peer, hello, number, self.now);
                }
            }
            Some(from_agent::Message::Join(join)) => manager.join(conn, join, self.now),
            message => {
                let index = stream.agent;
                if manager.conn_of(self.agents[index].node()) == Some(conn) {
                    self.heard[index] = self.now;
                }
                manager.message(conn, FromAgent { message }, self.now);
            }
        }
    }

    /// Entries up to this number are safe, in their order.
    pub(super) fn synced(&mut self, term: u64, number: usize) {
        let clocks = self.clocks();
        let Some(manager) = self.manager.as_mut().filter(|manager| manager.term == term) else {
            return;
        };
        // One sync may cover all that was written until it began.
        let number = match manager.newest_number() {
            Some(newest) if self.dice.once_in(ONE_IN_WIDE_SYNCS) => newest.max(number),
            Some(_) | None => number,
        };
        if let Err(message) = manager.synced(number, &mut self.disk, clocks) {
            panic!("LOG-1: a sync of a good disk fails: {message}");
        }
    }

    /// The manager does all that it can do now.
    pub(super) fn run_manager(&mut self) {
        if self.stands_still() {
            return;
        }
        let clocks = self.clocks();
        self.run_hub();
        let Some(manager) = &mut self.manager else { return };
        while self.now >= self.busy_until {
            let Some(more) = manager.turn(clocks, &mut self.dice) else { break };
            let takes = std::mem::replace(&mut self.log_takes, LogTakes::Everything);
            if takes == LogTakes::Nothing {
                self.refused_step = self.steps;
            }
            let numbers = match manager.append(takes, &mut self.disk, clocks) {
                Ok(numbers) => numbers,
                Err(message) => panic!("a write to a good disk fails: {message}"),
            };
            for number in numbers {
                let takes = self.dice.below(self.settings.sync_ns_max);
                self.synced_at = (self.now + takes).max(self.synced_at + 1);
                self.agenda.plan(self.synced_at, SimulatedEvent::Synced(manager.term, number));
            }
            self.happenings.push(Occurrence::Turned { more });
            self.busy_until = self.now + self.dice.below(self.settings.busy_ns_max);
        }
        self.run_hub();
        let Some(manager) = &mut self.manager else { return };
        self.happenings.extend(manager.take_happenings());
        let timeout = if self.now < self.busy_until && manager.wants_turn(clocks) {
            // What is due waits for the thread.
            let later = manager.poll_timeout().filter(|at| *at > self.now);
            Some(later.map_or(self.busy_until, |at| at.min(self.busy_until)))
        } else {
            manager.poll_timeout()
        };
        self.hear_answers();
        if let Some(at) = timeout
            && self.manager_timer.is_none_or(|planned| planned <= self.now || at < planned)
        {
            let at = at.max(self.now + 1);
            self.manager_timer = Some(at);
            self.agenda.plan(at, SimulatedEvent::ManagerTime);
        }
    }

    /// Does what the hub says, until it has nothing more to say.
    fn run_hub(&mut self) {
        let clocks = self.clocks();
        while let Some(output) =
            self.manager.as_mut().and_then(|manager| manager.hub_output(clocks))
        {
            self.hub_says(output);
        }
    }

    fn hub_says(&mut self, output: HubOutput<u64>) {
        match output {
            HubOutput::Send(conn, message) => {
                if !self.net.takes(conn) {
                    self.happenings.push(Occurrence::StreamFull { conn });
                    self.note(|| format!("the queue of stream {} is full", conn.0));
                    if let Some(manager) = &mut self.manager {
                        manager.full(conn);
                    }
                    return;
                }
                self.happenings.push(sent(conn, &message));
                let at = self.now + self.dice.below(FLIGHT_NS_MAX);
                let Some(at) = self.net.arrival(conn, Direction::ToAgent, at) else { return };
                if self.is_rough() {
                    self.net.remember(conn, message.clone());
                    if self.dice.once_in(self.settings.one_in_repeats) {
                        self.agenda
                            .plan(at, SimulatedEvent::ToAgent(conn, Box::new(message.clone())));
                    }
                }
                self.agenda.plan(at, SimulatedEvent::ToAgent(conn, Box::new(message)));
            }
            // What was sent before arrives before the end does.
            HubOutput::Drop(conn) => {
                let Some((agent, line)) = self.net.get(conn).map(|s| (s.agent, s.line)) else {
                    return;
                };
                let at = self.now + FLIGHT_NS_MAX;
                if let Some(at) = self.net.arrival(conn, Direction::ToAgent, at) {
                    self.agenda.plan(at, SimulatedEvent::AgentHearsCut(agent, line));
                } else {
                    self.plan(SECOND_NS, SimulatedEvent::Breaks(conn));
                }
            }
            HubOutput::Forward(conn, _, number) => {
                let told = Some(conn);
                self.happenings.push(Occurrence::OrderAnswered { number, told });
            }
            HubOutput::NoSession(number) => {
                self.happenings.push(Occurrence::OrderAnswered { number, told: None });
            }
            HubOutput::Submit { .. } => {}
        }
    }
}

/// What a checker may want to know of a message to an agent.
fn sent(conn: Conn, message: &ToAgent) -> Occurrence {
    let (ends, period_ns) = match &message.message {
        Some(to_agent::Message::Turned(turned)) => (Some(turned.code()), None),
        Some(to_agent::Message::Welcome(welcome)) => (None, Some(welcome.heartbeat_period_ns)),
        Some(to_agent::Message::HeartbeatPeriod(period)) => (None, Some(period.period_ns)),
        Some(_) | None => (None, None),
    };
    Occurrence::Sent { conn, ends, period_ns }
}
