//! The agents' side of the world: their processes, their streams and their engines.

use super::{Occurrence, SimulatedEvent, SimulatedWorld, leader::FLIGHT_NS_MAX};
use crate::simulator::{
    engine::{EngineEvent, Follows},
    net::Direction,
};
use skep_agent::{
    core::{AgentOutput, Input, TasksOfLeaver, action},
    runtime::Noticed,
};
use skep_gateway::sessions::Conn;
use skep_proto::{
    Id,
    time::SECOND_NS,
    v1::{FromAgent, RemoveNode, ToAgent, command::Action, from_agent},
};

impl SimulatedWorld {
    pub(super) fn start_agent(&mut self, index: usize) {
        if self.agents[index].core.is_none() && !self.agents[index].halted {
            self.agents[index].start(&mut self.dice, self.now);
            self.run_agent(index);
            self.plan(1, SimulatedEvent::Notices(index));
        }
    }

    /// Somebody takes a node out of the cluster; it joins again as a new one when nothing is left
    /// of its tasks.
    pub(super) fn leave_cluster(&mut self) {
        let index = self.dice.below(self.agents.len() as u64) as usize;
        self.note(|| format!("agent {index} leaves the cluster"));
        (self.agents[index].leaves, self.agents[index].has_dropped) = (true, true);
        self.agent_hears(index, Input::Leave(TasksOfLeaver::Awaited));
    }

    /// A node that was removed is emptied by somebody and joins as a new one.
    pub(super) fn rejoin(&mut self, index: usize) {
        if self.agents[index].halted {
            if self.agents[index].has_dropped && !self.remove_leaver(index) {
                return self.plan(SECOND_NS, SimulatedEvent::AgentRejoins(index));
            }
            self.agents[index].wipe(&mut self.dice);
            self.agents[index].start(&mut self.dice, self.now);
            self.run_agent(index);
            self.plan(1, SimulatedEvent::Notices(index));
        }
    }

    /// Somebody removes the node that has left, since nobody else knows what became of its tasks.
    /// False where there is nobody to ask.
    fn remove_leaver(&mut self, index: usize) -> bool {
        let Some(manager) = &self.manager else { return false };
        let view = manager.committed.clone();
        if view.lineage().is_none() {
            return false;
        }
        let node = self.agents[index].node().to_string();
        let remove = Action::RemoveNode(RemoveNode { node, force: true });
        let command = self.people.ask(remove, &view);
        self.plan(1, SimulatedEvent::Command(Box::new(command)));
        true
    }

    pub(super) fn agent_time(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        if agent.timer.is_some_and(|at| at <= self.now) {
            agent.timer = None;
        }
        let clock = agent.clock(self.now);
        if let Some(core) = &mut agent.core {
            core.handle_timeout(clock);
        }
        self.run_agent(index);
    }

    pub(super) fn agent_hears_cut(&mut self, index: usize, line: u64) {
        self.agent_hears(index, Input::Broken { line });
    }

    pub(super) fn agent_receives(&mut self, conn: Conn, message: Box<ToAgent>) {
        let Some((index, line)) = self.net.get(conn).map(|s| (s.agent, s.line)) else { return };
        self.agent_hears(index, Input::Received { line, message });
    }

    fn agent_hears(&mut self, index: usize, input: Input) {
        let agent = &mut self.agents[index];
        let clock = agent.clock(self.now);
        if let Some(core) = &mut agent.core {
            core.handle(input, clock);
        }
        self.run_agent(index);
    }

    /// The runtime notices by itself that its engine is away or starts nothing, or is well again.
    pub(super) fn notice(&mut self, index: usize) {
        let away = self.is_rough() && self.agents[index].engine.away_for(self.now) > 0;
        let engine_problem = if away { "the engine can't be reached" } else { "" }.to_owned();
        let stuck = self.is_rough() && self.agents[index].engine.stuck_for(self.now) > 0;
        let start_problem = if stuck { "the engine starts nothing" } else { "" }.to_owned();
        let noticed = Noticed { engine_problem, start_problem, ..Noticed::default() };
        self.agent_hears(index, Input::Noticed(Box::new(noticed)));
    }

    pub(super) fn engine_event(&mut self, index: usize, process: u64, event: EngineEvent) {
        let (weather, now) = (self.weather, self.now);
        let agent = &mut self.agents[index];
        match event {
            EngineEvent::Effect { action, answered_after } => {
                let dice = &mut self.dice;
                let follows = agent.engine.effect(*action, answered_after, weather, now, dice);
                for task in std::mem::take(&mut agent.engine.began) {
                    self.happenings.push(Occurrence::Began { agent: index, task });
                }
                self.plan_engine(index, process, follows);
            }
            EngineEvent::Answer { task, ticket, outcome } => {
                if process == agent.process {
                    self.happenings.push(Occurrence::StepAnswered { agent: index, task, ticket });
                    self.agent_hears(index, Input::Done { task, ticket, outcome: *outcome });
                }
            }
            EngineEvent::Exit { task, ended } => {
                let follows = agent.engine.exit(task, ended);
                let process = agent.process;
                self.plan_engine(index, process, follows);
            }
        }
    }

    pub(super) fn plan_engine(&mut self, index: usize, process: u64, follows: Follows) {
        for (after, event) in follows {
            self.plan(after, SimulatedEvent::Engine(index, process, event));
        }
    }

    pub(super) fn run_agent(&mut self, index: usize) {
        while let Some(core) = &mut self.agents[index].core {
            let Some(output) = core.poll_output() else { break };
            self.agents[index].keep(&output);
            self.agent_says(index, output);
        }
        let agent = &mut self.agents[index];
        let Some(at) = agent.core.as_ref().and_then(|core| core.poll_timeout()) else { return };
        let at = agent.true_time(at).max(self.now + 1);
        if agent.timer.is_none_or(|planned| planned <= self.now || at < planned) {
            agent.timer = Some(at);
            self.agenda.plan(at, SimulatedEvent::AgentTime(index));
        }
    }

    fn agent_says(&mut self, index: usize, output: AgentOutput) {
        match output {
            AgentOutput::Act(action) => {
                let (task, step, ticket) = asked(&action);
                self.happenings.push(Occurrence::StepAsked { agent: index, task, step, ticket });
                let agent = &mut self.agents[index];
                let follows = agent.engine.ask(action, self.weather, self.now, &mut self.dice);
                let process = agent.process;
                for (task, grace_ns) in std::mem::take(&mut agent.engine.stops) {
                    self.happenings.push(Occurrence::StopAsked { agent: index, task, grace_ns });
                }
                self.plan_engine(index, process, follows);
            }
            // There is one manager, wherever an agent looks for it.
            AgentOutput::Dial { line, candidate: _ } => self.dial(index, line),
            AgentOutput::Send(message) => self.agent_sends(index, message),
            AgentOutput::HangUp { message, .. } => {
                self.happenings.push(Occurrence::HungUp { agent: index, message });
                self.hang_up(index);
            }
            AgentOutput::Halt(_) => {
                self.hang_up(index);
                self.agents[index].core = None;
                self.agents[index].halted = true;
                let pause = self.dice.below(20 * SECOND_NS);
                self.plan(pause, SimulatedEvent::AgentRejoins(index));
            }
            AgentOutput::Certified(_)
            | AgentOutput::Joined { .. }
            | AgentOutput::Warn(_)
            | AgentOutput::Managers { .. }
            | AgentOutput::Write(_)
            | AgentOutput::Logs(_)
            | AgentOutput::LogCancel { .. } => {}
        }
    }

    fn dial(&mut self, index: usize, line: u64) {
        self.happenings.push(Occurrence::Dialed { agent: index });
        self.hang_up(index);
        if self.manager.is_none() || (self.is_rough() && self.dice.once_in(6)) {
            return self.plan(SECOND_NS / 100, SimulatedEvent::AgentHearsCut(index, line));
        }
        let conn = self.net.open(index, line, self.agents[index].certificate());
        self.agents[index].conn = Some(conn);
        if self.is_rough() && self.dice.once_in(20) {
            // A stream on which nothing is ever said.
            self.net.mute(conn, Direction::ToManager);
        }
        let agent = &mut self.agents[index];
        let clock = agent.clock(self.now);
        if let Some(core) = &mut agent.core {
            core.handle(Input::Connected { line }, clock);
        }
    }

    fn agent_sends(&mut self, index: usize, message: Box<FromAgent>) {
        self.said[index] = self.now;
        let Some(conn) = self.agents[index].conn else { return };
        let at = self.now + self.dice.below(FLIGHT_NS_MAX);
        let Some(at) = self.net.arrival(conn, Direction::ToManager, at) else { return };
        let repeatable = matches!(message.message, Some(from_agent::Message::Report(_)));
        if self.is_rough() && repeatable && self.dice.once_in(self.settings.one_in_repeats) {
            self.agenda.plan(at, SimulatedEvent::ToManager(conn, message.clone()));
        }
        self.agenda.plan(at, SimulatedEvent::ToManager(conn, message));
    }

    /// The agent ends its stream; the manager notices a little later.
    fn hang_up(&mut self, index: usize) {
        if let Some(conn) = self.agents[index].conn.take()
            && self.net.cut(conn).is_some()
        {
            self.plan(SECOND_NS / 100, SimulatedEvent::ManagerHearsCut(conn));
        }
    }

    /// A stream is cut; each end notices after its own time.
    pub(super) fn cut(&mut self, conn: Conn, agent_after: u64, manager_after: u64) {
        if let Some(stream) = self.net.cut(conn) {
            self.plan(agent_after, SimulatedEvent::AgentHearsCut(stream.agent, stream.line));
            self.plan(manager_after, SimulatedEvent::ManagerHearsCut(conn));
        }
    }
}

/// Whose step an action is, which, and its number.
fn asked(action: &action::Action) -> (Id, &'static str, u64) {
    match action {
        action::Action::List { ticket, .. } => (Id::NONE, "a listing", *ticket),
        action::Action::Step { task, step, ticket } => {
            let step = match step {
                action::TaskStep::Prepare(_) => "preparing",
                action::TaskStep::Start(_) => "starting",
                action::TaskStep::AwaitReady(_) => "its health",
                action::TaskStep::AwaitEnd(_) => "its end",
                action::TaskStep::Stop { .. } => "stopping",
                action::TaskStep::Remove => "removal",
            };
            (*task, step, *ticket)
        }
    }
}
