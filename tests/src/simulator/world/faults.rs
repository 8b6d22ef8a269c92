//! What goes wrong, and who asks for what, as the dice say.

use super::{LogTakes, Occurrence, SimulatedEvent, SimulatedWorld, settings::Trouble};
use crate::simulator::{engine::exited, net::Direction, people::orders};
use skep_agent::runtime::TaskEnd;
use skep_gateway::sessions::Conn;
use skep_proto::{
    Id,
    time::SECOND_NS,
    v1::{EndCause, FromAgent, Report, TaskObserved, TaskState, from_agent},
};

/// Nothing goes wrong for so long at most.
const LULL_NS_MAX: u64 = 90 * SECOND_NS;
/// So many people ask at once at most.
const CROWD_MAX: u64 = 12;
/// A manager that is stopped waits so long for what is in flight.
const STOPS_WITHIN_NS: u64 = 2 * SECOND_NS;
/// The furthest that somebody sets the manager's clock, in either direction.
const CLOCK_STEP_NS_MAX: u64 = 3_600 * SECOND_NS;
/// The manager's process stands still for so long at least, and at most.
const STANDSTILL_NS_MIN: u64 = 10 * SECOND_NS;
const STANDSTILL_NS_MAX: u64 = 60 * SECOND_NS;
/// A disk that is nearly full has so much left.
const FREE_SHARE_LOW: f64 = 0.03;
/// Entries under way when the manager's work is broken off, at most as many as are waited for.
const IN_FLIGHT_WANTED_MAX: u64 = 5;
/// The number of a report that no agent made: its acknowledgement belongs to nothing.
const FORGED_REPORT: u64 = 1 << 40;

/// How the manager's work is broken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Interruption {
    /// The process dies.
    Crash,
    /// The process goes on without its tenure.
    LostTenure,
}

impl SimulatedWorld {
    /// Something goes wrong, or somebody asks for something; and again later.
    pub(super) fn fault(&mut self) {
        if !self.is_rough() {
            return;
        }
        self.mishaps.troubles += 1;
        match self.settings.next_trouble(&mut self.dice) {
            Trouble::Crash => self.plan_interruption(Interruption::Crash),
            Trouble::LostTenure => self.plan_interruption(Interruption::LostTenure),
            Trouble::FullLog => self.log_takes = LogTakes::Nothing,
            Trouble::Stop => self.stop_manager(),
            Trouble::CrashAgent => self.crash_agent(),
            Trouble::LeaveCluster => self.leave_cluster(),
            Trouble::BreakStream => self.break_stream(),
            Trouble::MuteStream => self.mute_stream(),
            Trouble::Engine => self.trouble_engine(),
            Trouble::EndContainer => self.end_container(),
            Trouble::StandStill => self.stand_still(),
            Trouble::SetClock => self.set_clock(),
            Trouble::FillDisk => self.fill_disk(),
            Trouble::ForgeReport => self.forge_report(),
            Trouble::RepeatLate => self.repeat_late(),
            Trouble::RepeatCommand => self.repeat_command(),
            Trouble::Order => self.give_order(),
            Trouble::Ask => self.somebody_asks(),
            Trouble::Crowd => (0..self.dice.below(CROWD_MAX)).for_each(|_| self.somebody_asks()),
            Trouble::Lull => {
                let lull = self.dice.below(LULL_NS_MAX);
                return self.plan(lull, SimulatedEvent::Fault);
            }
        }
        let pause = self.dice.below(self.settings.pause_ns_max);
        self.plan(pause, SimulatedEvent::Fault);
    }

    /// The manager's work is broken off as soon as so many entries are under way, or else at the
    /// next such plan.
    fn plan_interruption(&mut self, interruption: Interruption) {
        if let Some((_, overdue)) = self.interruption.take() {
            self.interrupt(overdue);
        }
        self.interruption =
            Some((1 + self.dice.below(IN_FLIGHT_WANTED_MAX) as usize, interruption));
    }

    /// The planned end comes when enough is under way.
    pub(super) fn meet_interruption(&mut self) {
        if let Some((_, interruption)) =
            self.interruption.take_if(|(entries, _)| self.disk.unsynced() >= *entries)
        {
            self.interrupt(interruption);
        }
    }

    fn interrupt(&mut self, interruption: Interruption) {
        match interruption {
            Interruption::Crash => self.crash_manager(),
            Interruption::LostTenure => self.lose_tenure(),
        }
    }

    fn crash_manager(&mut self) {
        // Of what was not synced, the disk keeps some.
        let at_risk = self.disk.model().at_risk() as u64;
        let kept = self.dice.below(at_risk + 1) as usize;
        if self.manager.is_some() {
            self.mishaps.manager_crashes += 1;
        }
        self.drop_manager(kept);
    }

    /// The manager's process is gone, and will start again.
    fn drop_manager(&mut self, kept: usize) {
        if self.manager.take().is_none() {
            return;
        }
        self.mishaps.in_flight_max = self.mishaps.in_flight_max.max(self.disk.unsynced());
        let lost = self.disk.model().cut_power(kept);
        (self.busy_until, self.stands_until) = (self.now, self.now);
        self.note(|| format!("the manager ends, {lost} writes are lost"));
        self.ask_again();
        for conn in self.net.all() {
            let after = self.notices_after();
            self.cut(conn, after, SECOND_NS);
        }
        let pause = self.dice.below(10 * SECOND_NS);
        self.plan(pause, SimulatedEvent::ManagerStarts);
    }

    /// Somebody stops the manager: it answers what it can, and ends.
    fn stop_manager(&mut self) {
        if self.stands_still() {
            return;
        }
        let clocks = self.clocks();
        let Some(manager) = &mut self.manager else { return };
        let sessions = manager.hub().sessions().map(|(conn, _)| conn);
        let streams = sessions.chain(manager.hub().joining()).collect();
        self.happenings.push(Occurrence::Stopping { streams });
        manager.stop(clocks);
        let life = manager.life;
        self.note(|| "somebody stops the manager".into());
        self.plan(STOPS_WITHIN_NS, SimulatedEvent::ManagerEnds(life));
    }

    /// A manager that was stopped is gone. What it wrote stays written.
    pub(super) fn end_manager(&mut self, life: u64) {
        if self.manager.as_ref().is_some_and(|manager| manager.life == life) {
            self.drop_manager(self.disk.model().at_risk());
        }
    }

    /// Another election is won, or a write fails: what is under way is history or not, and nobody
    /// knows.
    fn lose_tenure(&mut self) {
        if self.stands_still() {
            return;
        }
        let clocks = self.clocks();
        let Some(manager) = &mut self.manager else { return };
        self.mishaps.lost_tenures += 1;
        self.mishaps.in_flight_max = self.mishaps.in_flight_max.max(self.disk.unsynced());
        let renewed = if self.dice.once_in(2) {
            manager.elect(&mut self.disk, clocks)
        } else {
            manager.fail(&mut self.disk, clocks, &mut self.dice)
        };
        match renewed {
            Ok(lost) => self.mishaps.entries_lost += lost,
            Err(message) => panic!("LOG-1: no tenure follows: {message}"),
        }
        self.note(|| "the tenure ends".into());
        self.synced_at = self.now;
        self.happenings.push(Occurrence::TenureBegan);
    }

    /// An end that is gone is noticed at once by most, and late where nothing says so.
    fn notices_after(&mut self) -> u64 {
        let limit = if self.dice.once_in(4) { 40 * SECOND_NS } else { SECOND_NS / 10 };
        self.dice.below(limit)
    }

    fn crash_agent(&mut self) {
        let index = self.dice.below(self.agents.len() as u64) as usize;
        if self.agents[index].core.is_none() {
            return;
        }
        self.mishaps.agent_crashes += 1;
        self.note(|| format!("agent {index} crashes"));
        if let Some(conn) = self.agents[index].conn {
            let after = self.notices_after();
            self.cut(conn, 0, after);
        }
        self.agents[index].crash(&mut self.dice);
        let pause = if self.dice.once_in(4) { 90 } else { 10 };
        let pause = SECOND_NS + self.dice.below(pause * SECOND_NS);
        self.plan(pause, SimulatedEvent::AgentStarts(index));
    }

    fn some_stream(&mut self) -> Option<Conn> {
        let streams = self.net.all();
        streams.get(self.dice.below(streams.len() as u64) as usize).copied()
    }

    fn break_stream(&mut self) {
        let Some(conn) = self.some_stream() else { return };
        let (agent, manager) = (self.notices_after(), self.notices_after());
        self.note(|| format!("stream {} breaks", conn.0));
        self.cut(conn, agent, manager);
    }

    /// What is sent one way is lost, or both ways, until the stream breaks.
    fn mute_stream(&mut self) {
        let Some(conn) = self.some_stream() else { return };
        let which = self.dice.below(3);
        if which != 0 {
            self.net.mute(conn, Direction::ToManager);
        }
        if which != 1 {
            self.net.mute(conn, Direction::ToAgent);
        }
        self.note(|| format!("stream {} goes mute", conn.0));
        let breaks = self.dice.below(60 * SECOND_NS);
        self.plan(breaks, SimulatedEvent::Breaks(conn));
    }

    fn trouble_engine(&mut self) {
        let index = self.dice.below(self.agents.len() as u64) as usize;
        let until = self.now + self.dice.below(40 * SECOND_NS);
        let engine = &mut self.agents[index].engine;
        match self.dice.below(4) {
            0 => engine.go_away(until),
            1 => engine.hang(until),
            2 => engine.get_stuck(until),
            _ => {
                // The engine restarts, and its containers end with it.
                engine.go_away(self.now + SECOND_NS);
                for task in self.agents[index].engine.running() {
                    let cause = EndCause::EngineStopped;
                    self.end(index, task, TaskEnd { cause, ..exited(137) });
                }
            }
        }
        self.note(|| format!("the engine of agent {index} is in trouble"));
        self.plan(1, SimulatedEvent::Notices(index));
        let engine = &self.agents[index].engine;
        for back in [engine.away_for(self.now), engine.stuck_for(self.now)] {
            self.plan(back + 1, SimulatedEvent::Notices(index));
        }
    }

    /// A program crashes, or somebody kills or removes its container.
    fn end_container(&mut self) {
        let index = self.dice.below(self.agents.len() as u64) as usize;
        let running = self.agents[index].engine.running();
        let Some(task) = running.get(self.dice.below(running.len() as u64) as usize) else {
            return;
        };
        match self.dice.below(3) {
            0 => self.end(index, *task, exited(1)),
            1 => {
                let cause = EndCause::KilledOutside;
                self.end(index, *task, TaskEnd { signal: 9, cause, ..exited(137) });
            }
            _ => {
                let (follows, process) =
                    (self.agents[index].engine.vanish(*task), self.agents[index].process);
                self.plan_engine(index, process, follows);
            }
        }
    }

    fn end(&mut self, index: usize, task: Id, ended: TaskEnd) {
        let (follows, process) =
            (self.agents[index].engine.exit(task, ended), self.agents[index].process);
        self.plan_engine(index, process, follows);
    }

    /// The manager's process stands still: what reaches it waits until it goes on.
    fn stand_still(&mut self) {
        if self.manager.is_none() || self.stands_still() {
            return;
        }
        let stands = STANDSTILL_NS_MIN + self.dice.below(STANDSTILL_NS_MAX - STANDSTILL_NS_MIN);
        self.stands_until = self.now + stands;
        self.note(|| format!("the manager stands still for {} ms", stands / 1_000_000));
        self.plan(stands, SimulatedEvent::ManagerGoesOn);
    }

    /// Somebody sets the manager's clock.
    fn set_clock(&mut self) {
        let step = self.dice.below(2 * CLOCK_STEP_NS_MAX) as i64 - CLOCK_STEP_NS_MAX as i64;
        let limit = 2 * CLOCK_STEP_NS_MAX as i64;
        self.wall_ahead_ns = (self.wall_ahead_ns + step).clamp(-limit, limit);
        self.note(|| format!("the manager's clock is set by {} ms", step / 1_000_000));
    }

    /// The disk is nearly full, or has room again: additions are refused meanwhile.
    fn fill_disk(&mut self) {
        if self.stands_still() {
            return;
        }
        (self.free_share, self.full_since) = match self.full_since {
            Some(_) => (1.0, None),
            None => (FREE_SHARE_LOW, Some(self.now)),
        };
        self.tell_space();
    }

    /// An agent says something of tasks that are not its own, or of none.
    fn forge_report(&mut self) {
        let Some(conn) = self.some_stream() else { return };
        let Some(manager) = &self.manager else { return };
        let view = manager.committed.clone();
        let all: Vec<Id> = view.tasks().iter().map(|(_, task)| task.id).collect();
        let picked = all.get(self.dice.below(all.len() as u64) as usize).copied();
        let own = self.net.get(conn).map(|stream| self.agents[stream.agent].node());
        let of_own = |task: Id| {
            let node = view.tasks().by_id(task).and_then(|(_, row)| view.nodes().get(row.node?));
            node.map(|node| node.id) == own
        };
        let task = picked.filter(|task| !of_own(*task)).unwrap_or(Id(self.dice.roll().into()));
        let states = [TaskState::Running, TaskState::Failed, TaskState::Complete];
        let state = states[self.dice.below(3) as usize] as i32;
        let seen = TaskObserved { task_id: task.to_bytes(), state, ..TaskObserved::default() };
        let report = Report { number: FORGED_REPORT, tasks: vec![seen] };
        let message = FromAgent { message: Some(from_agent::Message::Report(report)) };
        if let Some(at) = self.net.arrival(conn, Direction::ToManager, self.now + 1) {
            self.agenda.plan(at, SimulatedEvent::ToManager(conn, Box::new(message)));
        }
    }

    /// A message that an agent had before comes once more.
    fn repeat_late(&mut self) {
        let Some(conn) = self.some_stream() else { return };
        let Some(message) = self.net.recall(conn) else { return };
        if let Some(at) = self.net.arrival(conn, Direction::ToAgent, self.now + 1) {
            self.agenda.plan(at, SimulatedEvent::ToAgent(conn, Box::new(message)));
        }
    }

    /// Somebody who lost an answer, or is impatient, sends the same command again.
    fn repeat_command(&mut self) {
        let numbers: Vec<u64> = self.people.all().map(|(number, _)| number).collect();
        let newest = numbers.len().saturating_sub(20);
        let pick = newest as u64 + self.dice.below((numbers.len() - newest) as u64);
        let asked = numbers.get(pick as usize).and_then(|number| self.people.of(*number));
        if let Some(command) = asked.map(|asked| asked.command.clone()) {
            self.plan(1, SimulatedEvent::Command(Box::new(command)));
        }
    }

    /// Somebody has a message for the agent of a node.
    fn give_order(&mut self) {
        if self.stands_still() {
            return;
        }
        let agent = self.dice.below(self.agents.len() as u64) as usize;
        let (node, number) = (self.agents[agent].node(), self.mishaps.troubles as u64);
        let Some(manager) = &mut self.manager else { return };
        manager.order(node, number);
        self.happenings.push(Occurrence::OrderGiven { number, agent });
    }

    fn somebody_asks(&mut self) {
        let Some(manager) = &self.manager else { return };
        let view = manager.committed.clone();
        if view.lineage().is_none() {
            return;
        }
        for action in orders::next(&view, &mut self.dice) {
            let command = self.people.ask(action, &view);
            self.plan(1, SimulatedEvent::Command(Box::new(command)));
        }
    }
}
