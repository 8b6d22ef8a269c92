//! Stories of one reader. Tasks are small letters, nodes capital ones: `aN` is task a on node N.

use super::*;

struct ReaderWorld {
    reader: OutputReader,
    now: Timestamp,
    sessions: BTreeMap<char, u64>,
}

fn id(letter: char) -> Id {
    Id(u128::from(letter as u32))
}

fn letter(id: &Id) -> char {
    char::from_u32(u32::try_from(id.0).unwrap()).unwrap()
}

fn ids(list: &[Id]) -> String {
    list.iter().map(letter).collect()
}

impl ReaderWorld {
    fn new(mode: ReadMode, tail: Option<u64>) -> ReaderWorld {
        ReaderWorld {
            reader: OutputReader::new(mode, tail),
            now: Timestamp(1),
            sessions: BTreeMap::new(),
        }
    }

    /// `look aN=RUNNING bM=READY.away ; more`, `N chunk a5 a6 lost-a-3 end-a end`, `N lost`, `+100`
    /// ms.
    fn on(&mut self, what: &str) -> String {
        let parts: Vec<&str> = what.split_whitespace().collect();
        match parts[..] {
            [time] if time.starts_with('+') => {
                self.now = self.now + time[1..].parse::<u64>().unwrap() * 1_000_000;
                self.reader.on_time(self.now);
            }
            ["look", ref targets @ .., prospect] => {
                let prospect = match prospect {
                    "more" => Prospect::MoreTasks,
                    "all" => Prospect::NoMoreTasks,
                    other => panic!("{other}"),
                };
                let targets: Vec<ReadTask> = targets.iter().map(|word| self.target(word)).collect();
                self.reader.look(&targets, prospect, self.now);
            }
            [node, "lost"] => self.reader.on_lost(id(node.chars().next().unwrap()), self.now),
            [node, "chunk", ref items @ ..] => self.chunk(node.chars().next().unwrap(), items),
            _ => panic!("{what}"),
        }
        self.said()
    }

    fn target(&self, word: &str) -> ReadTask {
        let (who, state) = word.split_once('=').unwrap();
        let (state, reach) = state.split_once('.').unwrap_or((state, "ready"));
        let mut letters = who.chars();
        let (task, node) = (letters.next().unwrap(), letters.next().unwrap());
        ReadTask {
            task: id(task),
            name: task.to_string(),
            state: TaskState::from_str_name(&format!("TASK_STATE_{state}")).unwrap(),
            node: id(node),
            node_name: node.to_string(),
            session: *self.sessions.get(&node).unwrap_or(&1),
            ready: reach == "ready",
            removed: reach == "removed",
        }
    }

    fn chunk(&mut self, node: char, items: &[&str]) {
        let mut chunk = LogChunk::default();
        for item in items {
            let parts: Vec<&str> = item.split('-').collect();
            match parts[..] {
                ["end"] => chunk.end = true,
                ["end", task] => chunk.ended_ids.push(id(task.chars().next().unwrap()).to_bytes()),
                ["lost", task, lines] => {
                    let task_id = id(task.chars().next().unwrap()).to_bytes();
                    chunk.loss = Some(LogLoss { task_id, lines: lines.parse().unwrap() });
                }
                ["problem", message] => chunk.message = message.to_owned(),
                [line] => {
                    let (task, at) = line.split_at(1);
                    let task_id = id(task.chars().next().unwrap()).to_bytes();
                    chunk.lines.push(LogLine {
                        task_id,
                        at: at.parse().unwrap(),
                        ..LogLine::default()
                    });
                }
                _ => panic!("{item}"),
            }
        }
        self.reader.on_chunk(id(node), chunk, self.now);
    }

    fn said(&mut self) -> String {
        let mut said = Vec::new();
        while let Some(output) = self.reader.poll_output(self.now) {
            said.push(match output {
                ReaderOutput::Order { node, tasks, tail, resume } => {
                    let tail = tail.map(|tail| format!(" tail {tail}")).unwrap_or_default();
                    let resume: String = resume
                        .iter()
                        .map(|r| format!(" after {}x{}", r.read_at, r.read_lines))
                        .collect();
                    format!("order {} {}{tail}{resume}", letter(&node), ids(&tasks))
                }
                ReaderOutput::Cancel(node) => format!("cancel {}", letter(&node)),
                ReaderOutput::Reply(reply) => match reply.message.unwrap() {
                    Message::Line(line) => {
                        format!("{}@{}:{}", line.task_name, line.node_name, line.at)
                    }
                    Message::Gap(gap) => format!("({})", gap.message),
                },
            });
        }
        if self.reader.is_over() {
            said.push("over".into());
        }
        if said.is_empty() { "-".into() } else { said.join(", ") }
    }
}

/// Each line is something that happens, `->`, and all that the reader does then.
fn check(mode: ReadMode, tail: Option<u64>, story: &str) {
    let mut world = ReaderWorld::new(mode, tail);
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (what, expected) = line.split_once("->").unwrap();
        if let Some(node) = what.trim().strip_prefix("restart ") {
            *world.sessions.entry(node.chars().next().unwrap()).or_insert(1) += 1;
            continue;
        }
        assert_eq!(world.on(what.trim()), expected.trim(), "{line}");
    }
}

#[test]
fn what_is_there_is_merged_by_time_and_then_it_is_over() {
    check(
        ReadMode::Once,
        Some(9),
        "look aN=RUNNING bM=COMPLETE cN=ASSIGNED more -> order M b tail 9, order N ac tail 9
         N chunk a5 a7 -> -
         M chunk b6 -> a@N:5, b@M:6
         M chunk b9 end-b -> a@N:7
         N chunk end -> b@M:9
         M chunk end -> over",
    );
}

#[test]
fn nothing_to_read_is_over_at_once() {
    check(ReadMode::Once, None, "look all -> over");
}

#[test]
fn a_node_that_does_not_answer_is_told_and_the_others_are_read() {
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING bM=RUNNING all -> order M b, order N a
         N chunk a5 end -> -
         +9999 -> -
         +1 -> cancel M, (node M does not answer; its lines are missing from here), a@N:5, over",
    );
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING bM=RUNNING all -> order M b, order N a
         M lost -> -
         N chunk a5 end -> (node M can't be reached; its lines are missing from here), a@N:5, over",
    );
}

#[test]
fn a_node_whose_lines_wait_or_that_has_ended_is_not_silent() {
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING bM=RUNNING all -> order M b, order N a
         N chunk a5 -> -
         +10000 -> cancel M, (node M does not answer; its lines are missing from here), a@N:5
         N chunk a6 end -> a@N:6, over",
    );
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING bM=RUNNING all -> order M b, order N a
         N chunk a5 end -> -
         M chunk b9 -> a@N:5, b@M:9
         +9999 -> -
         M chunk b11 -> b@M:11
         +2 -> -
         M chunk end -> over",
    );
}

#[test]
fn a_follower_is_done_with_a_task_that_was_read_to_its_end() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING all -> order N a
         N chunk end -> over",
    );
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING.away all -> (node N is gone; its lines are missing from here)
         look aN=COMPLETE.away all -> over",
    );
}

#[test]
fn a_node_of_which_nothing_more_is_wanted_may_go_away_unsaid() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING bM=RUNNING more -> order M b, order N a
         N chunk a5 end -> -
         +2000 -> a@N:5
         look aN=COMPLETE.away bM=RUNNING more -> -
         look aN=COMPLETE.away bM=RUNNING.away more -> cancel M, (node M is gone; its lines are missing from here)",
    );
}

#[test]
fn what_a_node_sends_of_another_nodes_task_is_left_out() {
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING bM=RUNNING all -> order M b, order N a
         N chunk b5 lost-b-3 end-b a6 -> -
         M chunk b7 end -> a@N:6
         N chunk end -> b@M:7, over",
    );
}

#[test]
fn it_is_not_over_before_every_line_is_passed_on() {
    let mut world = ReaderWorld::new(ReadMode::Once, None);
    world.on("look aN=RUNNING all");
    world.chunk('N', &["a5", "end"]);
    assert!(!world.reader.is_over(), "a line waits");
    assert_eq!(world.said(), "a@N:5, over");
    let mut world = ReaderWorld::new(ReadMode::Follow, None);
    world.on("look aN=RUNNING all");
    world.chunk('N', &["a5", "end-a"]);
    world.reader.look(&[world.target("aN=COMPLETE")], Prospect::NoMoreTasks, world.now);
    assert!(!world.reader.is_over(), "a line waits");
    assert_eq!(world.said(), "a@N:5, over");
}

#[test]
fn a_slow_reader_is_not_a_silent_node() {
    let mut world = ReaderWorld::new(ReadMode::Once, None);
    world.on("look aN=RUNNING all");
    world.now = world.now + ANSWER_LIMIT_NS;
    world.reader.on_slow_reader(world.now);
    assert_eq!(world.on("+1"), "-");
}

#[test]
fn a_follower_sees_the_tasks_that_come_later_until_the_service_is_removed() {
    check(
        ReadMode::Follow,
        Some(2),
        "look more -> -
         look aN=ASSIGNED more -> -
         look aN=READY more -> -
         look aN=RUNNING more -> order N a
         N chunk a5 -> a@N:5
         N chunk a6 end-a -> a@N:6
         look aN=FAILED bN=STARTING more -> order N b
         look aN=FAILED bN=RUNNING cM=STARTING more -> order M c
         N chunk b7 -> -
         M chunk c8 -> b@N:7
         +100 -> c@M:8
         look aN=FAILED bN=SHUTDOWN cM=SHUTDOWN all -> -
         N chunk end-b -> -
         look bN=SHUTDOWN all -> -
         M chunk end-c -> over",
    );
}

#[test]
fn only_the_tasks_of_the_beginning_have_a_tail() {
    check(
        ReadMode::Follow,
        Some(0),
        "look aN=RUNNING more -> order N a tail 0
         look aN=RUNNING bN=RUNNING more -> order N b",
    );
}

#[test]
fn a_follower_of_one_task_waits_for_its_beginning_and_ends_with_it() {
    check(
        ReadMode::Follow,
        None,
        "look aN=ACCEPTED all -> -
         look aN=RUNNING all -> order N a
         N chunk a5 end-a -> a@N:5, over",
    );
    check(
        ReadMode::Follow,
        None,
        "look aN=ACCEPTED all -> -
         look aN=REJECTED all -> order N a
         N chunk end-a -> over",
    );
    check(ReadMode::Follow, None, "look all -> over");
}

#[test]
fn a_task_that_had_printed_nothing_when_it_was_asked_is_asked_again() {
    check(
        ReadMode::Follow,
        None,
        "look aN=STARTING all -> order N a
         N chunk end-a -> -
         look aN=STARTING all -> -
         look aN=RUNNING all -> order N a
         N chunk a5 end-a -> a@N:5, over",
    );
}

#[test]
fn a_node_that_goes_away_is_told_at_its_place_and_goes_on_where_it_was() {
    check(
        ReadMode::Follow,
        Some(7),
        "look aN=RUNNING bM=RUNNING more -> order M b tail 7, order N a tail 7
         N chunk a5 a6 a6 -> -
         M chunk b4 -> b@M:4
         +100 -> a@N:5, a@N:6, a@N:6
         look aN=RUNNING.away bM=RUNNING more -> cancel N
         M chunk b9 -> (node N is gone; its lines are missing from here), b@M:9
         look aN=RUNNING bM=RUNNING more -> -
         +500 -> order N a after 6x2
         N chunk -> -
         N chunk a6 a8 -> -
         +100 -> (node N is back; its lines go on), a@N:6, a@N:8",
    );
}

#[test]
fn a_stream_that_broke_is_told_once_and_asked_for_again() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING all -> order N a
         N chunk a5 -> a@N:5
         N lost -> (node N is gone; its lines are missing from here)
         +499 -> -
         +1 -> order N a after 5x1
         N lost -> -
         +500 -> order N a after 5x1
         N chunk a6 -> (node N is back; its lines go on), a@N:6",
    );
}

#[test]
fn a_new_session_of_a_node_knows_nothing_of_the_order() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING all -> order N a
         restart N -> -
         look aN=RUNNING all -> (node N is gone; its lines are missing from here)
         +500 -> order N a",
    );
}

#[test]
fn a_task_that_ended_while_its_node_was_away_is_read_to_its_end() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING all -> order N a
         N chunk a5 -> a@N:5
         look aN=RUNNING.away all -> cancel N, (node N is gone; its lines are missing from here)
         look aN=SHUTDOWN all -> -
         +500 -> order N a after 5x1
         N chunk a6 end-a -> (node N is back; its lines go on), a@N:6, over",
    );
}

#[test]
fn a_node_that_is_away_from_the_beginning_is_told_at_once() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING.away all -> (node N is gone; its lines are missing from here)
         +100000 -> -
         look aN=SHUTDOWN.away all -> over",
    );
}

#[test]
fn what_was_pushed_out_is_told_at_its_place() {
    check(
        ReadMode::Once,
        None,
        "look aN=RUNNING all -> order N a
         N chunk a5 -> a@N:5
         N chunk lost-a-3 -> (a: 3 lines are missing here; newer ones pushed them out)
         N chunk a9 -> a@N:9
         N chunk lost-a-0 -> (a: lines are missing here; newer ones pushed them out)
         N chunk problem-unreadable end -> (node N: unreadable), over",
    );
}

#[test]
fn the_last_lines_of_a_forgotten_task_are_not_waited_for_without_end() {
    check(
        ReadMode::Follow,
        None,
        "look aN=RUNNING more -> order N a
         look all -> -
         +9999 -> -
         +1 -> over",
    );
}

#[test]
fn a_deadline_that_has_passed_is_a_deadline_no_more() {
    let mut world = ReaderWorld::new(ReadMode::Follow, None);
    for what in
        ["look aN=RUNNING bM=RUNNING.away more", "look bM=RUNNING.away more", "+10000", "+500"]
    {
        world.on(what);
        assert!(world.reader.poll_timeout().is_none_or(|at| at > world.now), "{what}");
    }
}

#[test]
fn a_node_that_is_ahead_of_the_others_has_no_room_until_its_lines_are_passed_on() {
    let mut world = ReaderWorld::new(ReadMode::Once, None);
    world.on("look aN=RUNNING bM=RUNNING all");
    world.chunk('N', &["a5"; WAITING_MAX - 1]);
    assert!(world.reader.has_room(id('N')));
    world.chunk('N', &["a5"]);
    assert!(!world.reader.has_room(id('N')));
    assert!(world.reader.has_room(id('M')), "the bound is each node's own");
    world.on("M chunk b9 end-b");
    assert!(world.reader.has_room(id('N')));
}

#[test]
fn a_node_that_is_back_is_asked_again_at_the_time_it_names() {
    let mut world = ReaderWorld::new(ReadMode::Follow, None);
    world.on("look aN=RUNNING more");
    world.on("N chunk a5");
    world.on("N lost");
    assert_eq!(world.reader.poll_timeout(), Some(world.now + REORDER_DELAY_NS));
    world.on("look aN=RUNNING.away more");
    assert_eq!(world.reader.poll_timeout(), None, "it waits for the node, not for a time");
}

#[test]
fn a_node_that_was_removed_is_told_as_that_also_after_it_was_away() {
    let removed = "(node M was removed from the cluster; its lines are missing)";
    check(
        ReadMode::Once,
        None,
        &format!(
            "look aN=RUNNING bM=ORPHANED.removed all -> order M b, order N a
             M lost -> -
             N chunk a5 end -> {removed}, a@N:5, over"
        ),
    );
    check(
        ReadMode::Follow,
        None,
        &format!(
            "look bM=RUNNING more -> order M b
             look bM=RUNNING.away more -> cancel M, (node M is gone; its lines are missing from here)
             look bM=ORPHANED.removed all -> {removed}, over
             look bM=ORPHANED.removed all -> over"
        ),
    );
}
