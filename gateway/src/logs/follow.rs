//! One reader of output: which tasks are ordered from which nodes, what comes in which order, and
//! when it is over. PURE.
//!
//! A reader who follows a service sees the tasks that come later too, until the service is removed.
//! When a node goes away, the reader sees a notice between the lines and does not wait for it;
//! when it comes back, its tasks are ordered again from the last line that came. Lines of several
//! nodes are passed on in the order of their times.

mod stages;

use skep_proto::{
    Id, Timestamp,
    merge::{Merge, Patience},
    time::SECOND_NS,
    v1::{
        LogChunk, LogGap, LogGapKind, LogLine, LogLoss, LogResume, LogsReply, TaskState,
        logs_reply::Message,
    },
};
use stages::{NodeOutput, OrderStage, ReadStage, TaskOutput};
use std::collections::{BTreeMap, VecDeque};

/// A node that has sent nothing of a finite log for so long is given up, and the reader gets a
/// notice.
const ANSWER_LIMIT_NS: u64 = 10 * SECOND_NS;
/// A node that went away is asked again after so long, if it is ready.
const REORDER_DELAY_NS: u64 = SECOND_NS / 2;
/// A follower waits so long for the last lines of a task that the cluster has forgotten.
const FORGOTTEN_LIMIT_NS: u64 = 10 * SECOND_NS;
/// A follower's line waits so long for earlier ones of nodes that have sent nothing lately.
const NODE_LINES_DELAY_NS: u64 = SECOND_NS / 10;
/// So long it waits for a node that has not begun to send.
const NODE_OPENING_DELAY_NS: u64 = SECOND_NS;
/// Replies of one node that wait for their turn; at it nothing more is taken from that node.
const WAITING_MAX: usize = 1024;

/// What is said of a node whose lines nobody can read any more.
const WAS_REMOVED: &str = "was removed from the cluster; its lines are missing";

/// Whether the reader stays when all is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadMode {
    /// What is there now.
    Once,
    /// What comes, too.
    Follow,
}

/// Whether more tasks may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prospect {
    /// A service that is read is still there.
    MoreTasks,
    /// Only the tasks that are known.
    NoMoreTasks,
}

/// One task that is read, as the view has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadTask {
    /// The task.
    pub task: Id,
    /// Its name.
    pub name: String,
    /// Its state as it was reported.
    pub state: TaskState,
    /// The node that runs it.
    pub node: Id,
    /// The node's host name.
    pub node_name: String,
    /// The node's session: a new one knows nothing of orders that were sent over an old one.
    pub session: u64,
    /// Whether the node is ready.
    pub ready: bool,
    /// Whether it was removed from the cluster.
    pub removed: bool,
}

/// Something to do.
#[derive(Clone, PartialEq, Debug)]
pub enum ReaderOutput {
    /// Send an order to a node's agent; a node whose order is open has it widened.
    Order {
        /// The node.
        node: Id,
        /// Of what.
        tasks: Vec<Id>,
        /// Only so many of each one's last lines.
        tail: Option<u64>,
        /// Where to go on.
        resume: Vec<LogResume>,
    },
    /// The node's order is of no use any more.
    Cancel(Id),
    /// Pass this on to the reader.
    Reply(LogsReply),
}

/// One reader.
#[derive(Debug)]
pub struct OutputReader {
    mode: ReadMode,
    tail: Option<u64>,
    prospect: Prospect,
    tasks: BTreeMap<Id, TaskOutput>,
    nodes: BTreeMap<Id, NodeOutput>,
    merge: Merge<Id, Message>,
    outputs: VecDeque<ReaderOutput>,
    looked: bool,
}

impl OutputReader {
    /// A reader of the last `tail` lines of each task, or of all.
    pub fn new(mode: ReadMode, tail: Option<u64>) -> OutputReader {
        let patience = match mode {
            ReadMode::Once => Patience::Unlimited,
            ReadMode::Follow => {
                Patience::Limited { first_ns: NODE_OPENING_DELAY_NS, next_ns: NODE_LINES_DELAY_NS }
            }
        };
        OutputReader {
            mode,
            tail,
            prospect: Prospect::MoreTasks,
            tasks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            merge: Merge::new(patience),
            outputs: VecDeque::new(),
            looked: false,
        }
    }

    /// What the view has now of what is read.
    pub fn look(&mut self, targets: &[ReadTask], prospect: Prospect, now: Timestamp) {
        self.prospect = prospect;
        for task in self.tasks.values_mut() {
            task.forgotten = task.forgotten.or(Some(now));
        }
        for target in targets {
            self.look_at(target, now);
        }
        self.looked = true;
        if self.mode == ReadMode::Follow {
            let is_gone = |node: &NodeOutput| node.order == OrderStage::Open && !node.ready;
            let gone: Vec<Id> =
                self.nodes.iter().filter(|(_, n)| is_gone(n)).map(|(id, _)| *id).collect();
            for node in gone {
                self.outputs.push_back(ReaderOutput::Cancel(node));
                self.lose(node, "is gone; its lines are missing from here", now);
            }
        }
        self.order(now);
    }

    fn look_at(&mut self, target: &ReadTask, now: Timestamp) {
        let fresh = NodeOutput {
            name: target.node_name.clone(),
            session: target.session,
            ready: target.ready,
            removed: target.removed,
            order: OrderStage::None,
            told_away: false,
            heard: now,
        };
        let node = self.nodes.entry(target.node).or_insert(fresh);
        let is_away_for_good = target.removed && !node.removed && node.told_away;
        (node.ready, node.removed) = (target.ready, target.removed);
        let is_new_session = node.session != target.session;
        node.session = target.session;
        if is_new_session && node.order == OrderStage::Open {
            self.lose(target.node, "is gone; its lines are missing from here", now);
        }
        if is_away_for_good {
            let message = format!("node {} {WAS_REMOVED}", target.node_name);
            self.merge.open(target.node, now);
            self.say_gap(target.node, LogGapKind::NodeRemoved, message, now);
            self.merge.close(target.node);
        }
        let tail = self.tail.filter(|_| !self.looked);
        let task = self.tasks.entry(target.task).or_insert_with(|| TaskOutput {
            name: target.name.clone(),
            node: target.node,
            state: target.state,
            stage: ReadStage::Unstarted,
            tail,
            last: None,
            forgotten: None,
        });
        task.forgotten = None;
        task.state = target.state;
        let may_have_begun = target.state >= TaskState::Starting || self.mode == ReadMode::Once;
        match task.stage {
            ReadStage::Unstarted if may_have_begun => task.stage = ReadStage::Wanted,
            // It may have begun to print after its agent found nothing.
            ReadStage::Read(then) if !task.has_begun(then) && target.state > then => {
                task.stage = ReadStage::Wanted;
            }
            ReadStage::Unstarted
            | ReadStage::Wanted
            | ReadStage::Ordered(_)
            | ReadStage::Read(_) => {}
        }
    }

    /// What a node sent.
    pub fn on_chunk(&mut self, node_id: Id, chunk: LogChunk, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(&node_id).filter(|node| node.order == OrderStage::Open)
        else {
            return;
        };
        node.heard = now;
        let name = node.name.clone();
        if std::mem::take(&mut node.told_away) {
            let message = format!("node {name} is back; its lines go on");
            self.say_gap(node_id, LogGapKind::NodeBack, message, now);
        }
        for line in chunk.lines {
            self.take_line(node_id, &name, line, now);
        }
        if let Some(loss) = chunk.loss {
            self.take_loss(node_id, name.clone(), &loss, now);
        }
        if !chunk.message.is_empty() {
            let message = format!("node {name}: {}", chunk.message);
            self.say_gap(node_id, LogGapKind::Unreadable, message, now);
        }
        for id in &chunk.ended_ids {
            let task = self.tasks.get_mut(&Id::from_bytes(id));
            if let Some(task) = task.filter(|task| task.node == node_id) {
                task.stage = task.stage.read();
            }
        }
        if chunk.end {
            self.close(node_id, OrderStage::None);
            for task in self.tasks.values_mut().filter(|task| task.node == node_id) {
                task.stage = task.stage.read();
            }
        }
    }

    /// The node's order could not be sent, or broke off.
    pub fn on_lost(&mut self, node: Id, now: Timestamp) {
        if self.nodes.get(&node).is_some_and(|node| node.order == OrderStage::Open) {
            let what = match self.mode {
                ReadMode::Once => "can't be reached; its lines are missing from here",
                ReadMode::Follow => "is gone; its lines are missing from here",
            };
            self.lose(node, what, now);
        }
    }

    /// The reader took its time: no node is to blame for what did not come meanwhile.
    pub fn on_slow_reader(&mut self, now: Timestamp) {
        self.nodes.values_mut().for_each(|node| node.heard = now);
    }

    /// Time has come to `now`.
    pub fn on_time(&mut self, now: Timestamp) {
        match self.mode {
            ReadMode::Follow => {
                let is_late = |since: Timestamp| now >= since + FORGOTTEN_LIMIT_NS;
                for task in
                    self.tasks.values_mut().filter(|task| task.forgotten.is_some_and(is_late))
                {
                    task.stage = task.stage.read();
                }
                self.order(now);
            }
            ReadMode::Once => {
                let silent: Vec<Id> =
                    self.awaited().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect();
                for node in silent {
                    self.outputs.push_back(ReaderOutput::Cancel(node));
                    self.lose(node, "does not answer; its lines are missing from here", now);
                }
            }
        }
    }

    /// When [`OutputReader::on_time`] and [`OutputReader::poll_output`] want to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let awaited = self.awaited().map(|(_, at)| at).filter(|_| self.mode == ReadMode::Once);
        let retries = self.nodes.iter().filter_map(|(id, node)| match node.order {
            OrderStage::Away { until } if node.ready && self.has_wanted(*id) => Some(until),
            OrderStage::Away { .. } | OrderStage::None | OrderStage::Open => None,
        });
        let forgotten =
            self.tasks.values().filter(|task| matches!(task.stage, ReadStage::Ordered(_)));
        let forgotten = forgotten.filter_map(|task| Some(task.forgotten? + FORGOTTEN_LIMIT_NS));
        awaited.chain(retries).chain(forgotten).chain(self.merge.poll_timeout()).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Timestamp) -> Option<ReaderOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let (_, message) = self.merge.poll(now)?;
        Some(ReaderOutput::Reply(LogsReply { message: Some(message) }))
    }

    /// Whether more may be taken from a node now.
    pub fn has_room(&self, node: Id) -> bool {
        self.merge.waiting(node) < WAITING_MAX
    }

    /// Nothing more will come.
    pub fn is_over(&self) -> bool {
        let said =
            self.outputs.is_empty() && self.nodes.keys().all(|node| self.merge.waiting(*node) == 0);
        said && match self.mode {
            ReadMode::Once => self.nodes.values().all(|node| node.order != OrderStage::Open),
            ReadMode::Follow => {
                self.prospect == Prospect::NoMoreTasks
                    && self.tasks.values().all(|task| self.is_settled(task))
            }
        }
    }

    fn is_settled(&self, task: &TaskOutput) -> bool {
        let is_over = task.forgotten.is_some() || task.state >= TaskState::Complete;
        match task.stage {
            ReadStage::Read(then) => is_over || task.has_begun(then),
            ReadStage::Ordered(_) => false,
            ReadStage::Unstarted => is_over,
            // Its lines may come yet if the node is back.
            ReadStage::Wanted => self.nodes.get(&task.node).is_some_and(|node| {
                is_over && node.told_away && (!node.ready || task.forgotten.is_some())
            }),
        }
    }

    /// Orders what is wanted of nodes that can be asked.
    fn order(&mut self, now: Timestamp) {
        let ids: Vec<Id> = self.nodes.keys().copied().filter(|id| self.has_wanted(*id)).collect();
        for id in ids {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            if self.mode == ReadMode::Follow && !node.ready {
                if node.order == OrderStage::None {
                    self.lose(id, "is gone; its lines are missing from here", now);
                }
                continue;
            }
            match node.order {
                OrderStage::Away { until } if now < until => continue,
                OrderStage::Away { .. } | OrderStage::None => {
                    node.order = OrderStage::Open;
                    node.heard = now;
                    self.merge.open(id, now);
                }
                OrderStage::Open => {}
            }
            self.order_from(id);
        }
    }

    /// One order for those of which only a tail is wanted, one for those that are read from their
    /// beginning or from where they were.
    fn order_from(&mut self, node: Id) {
        let (mut first, mut later, mut resume) = (Vec::new(), Vec::new(), Vec::new());
        let wanted = |task: &TaskOutput| task.node == node && task.stage == ReadStage::Wanted;
        for (id, task) in self.tasks.iter_mut().filter(|(_, task)| wanted(task)) {
            task.stage = ReadStage::Ordered(task.state);
            match (task.last, task.tail) {
                (Some((at, lines)), _) => {
                    later.push(*id);
                    resume.push(LogResume {
                        task_id: id.to_bytes(),
                        read_at: at.0,
                        read_lines: lines,
                    });
                }
                (None, Some(_)) => first.push(*id),
                (None, None) => later.push(*id),
            }
        }
        for (tasks, tail, resume) in [(first, self.tail, Vec::new()), (later, None, resume)] {
            if !tasks.is_empty() {
                self.outputs.push_back(ReaderOutput::Order { node, tasks, tail, resume });
            }
        }
    }

    fn take_line(&mut self, node: Id, node_name: &str, mut line: LogLine, now: Timestamp) {
        let task = self.tasks.get_mut(&Id::from_bytes(&line.task_id));
        // A node is believed about its own tasks alone.
        let Some(task) = task.filter(|task| task.node == node) else { return };
        let at = Timestamp(line.at);
        task.last = Some(match task.last {
            Some((last, lines)) if last == at => (last, lines + 1),
            Some((last, lines)) if last > at => (last, lines),
            Some(_) | None => (at, 1),
        });
        line.task_name.clone_from(&task.name);
        line.node_name = node_name.to_owned();
        line.node_id = node.to_bytes();
        self.merge.push(node, at, Message::Line(line), now);
    }

    fn take_loss(&mut self, node: Id, node_name: String, loss: &LogLoss, now: Timestamp) {
        let task = self.tasks.get(&Id::from_bytes(&loss.task_id));
        let Some(task) = task.filter(|task| task.node == node) else { return };
        let name = &task.name;
        let message = match loss.lines {
            0 => format!("{name}: lines are missing here; newer ones pushed them out"),
            1 => format!("{name}: 1 line is missing here; newer ones pushed it out"),
            lines => format!("{name}: {lines} lines are missing here; newer ones pushed them out"),
        };
        let gap = LogGap {
            task_id: loss.task_id.clone(),
            node_name,
            message,
            kind: LogGapKind::LinesLost.into(),
            task_name: name.clone(),
            lines: loss.lines,
        };
        self.merge.push(node, Timestamp::NEVER, Message::Gap(gap), now);
    }

    fn lose(&mut self, id: Id, what: &str, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if !std::mem::replace(&mut node.told_away, true) {
            let (kind, what) = match node.removed {
                true => (LogGapKind::NodeRemoved, WAS_REMOVED),
                false => (LogGapKind::NodeAway, what),
            };
            let message = format!("node {} {what}", node.name);
            self.merge.open(id, now);
            self.say_gap(id, kind, message, now);
        }
        self.close(id, OrderStage::Away { until: now + REORDER_DELAY_NS });
        for task in self.tasks.values_mut().filter(|task| task.node == id) {
            task.stage = match (self.mode, task.stage) {
                (ReadMode::Follow, ReadStage::Ordered(_)) => ReadStage::Wanted,
                (ReadMode::Once, stage) => stage.read(),
                (ReadMode::Follow, stage) => stage,
            };
        }
    }

    fn say_gap(&mut self, node: Id, kind: LogGapKind, message: String, now: Timestamp) {
        let node_name = self.nodes.get(&node).map_or_else(String::new, |node| node.name.clone());
        let gap = LogGap { node_name, message, kind: kind.into(), ..LogGap::default() };
        self.merge.push(node, Timestamp::NEVER, Message::Gap(gap), now);
    }

    fn close(&mut self, id: Id, order: OrderStage) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.order = order;
        }
        self.merge.close(id);
    }

    fn has_wanted(&self, node: Id) -> bool {
        self.tasks.values().any(|task| task.node == node && task.stage == ReadStage::Wanted)
    }

    /// Nodes that others wait for, and when they are given up.
    fn awaited(&self) -> impl Iterator<Item = (Id, Timestamp)> + '_ {
        let silent = |id: &Id| self.merge.waiting(*id) == 0;
        let open =
            self.nodes.iter().filter(move |(id, n)| n.order == OrderStage::Open && silent(id));
        open.map(|(id, node)| (*id, node.heard + ANSWER_LIMIT_NS))
    }
}

#[cfg(test)]
mod tests;
