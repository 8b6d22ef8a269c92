//! Commands about strays: tasks that agents have and history does not know.

use super::{Admitted, Refusal};
use crate::resolve::{self, Noun, ResolveError};
use skep_projections::View;
use skep_proto::{
    Id,
    v1::{DisownStray, StrayDisowned, event::Kind},
};

pub(super) fn disown(view: &View, command: &DisownStray) -> Result<Admitted, Refusal> {
    let wanted = command.task.to_ascii_lowercase();
    if wanted.is_empty() {
        return Err(ResolveError::Empty(Noun::Task).into());
    }
    let is_meant = |id: &Id| id.to_string().starts_with(&wanted);
    let mut found = view.strays().filter(|(id, _)| is_meant(id));
    let Some((id, stray)) = found.next() else { return Err(unknown(view, &command.task)) };
    if found.next().is_some() {
        return Err(Refusal::invalid(format!(
            "task {:?} is ambiguous: several strays begin like this",
            command.task
        ))
        .hint("`skep stray ls` lists them"));
    }
    let disowned = StrayDisowned { task_id: id.to_bytes(), node_id: stray.node_id.clone() };
    Ok(Admitted::one(id, Kind::StrayDisowned(disowned)))
}

fn unknown(view: &View, reference: &str) -> Refusal {
    match resolve::task(view, reference) {
        Ok(_) => Refusal::precondition(format!(
            "task {reference:?} belongs to a service, which would replace it"
        ))
        .hint("scale or remove the service: `skep service scale`, `skep service rm`"),
        Err(_) => Refusal::not_found(format!("no stray task {reference:?}"))
            .hint("`skep stray ls` lists tasks that history does not know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skep_projections::fixture::{World, id};
    use skep_proto::v1::{RefusalCode::Invalid, StrayObserved, TaskState};

    fn world() -> World {
        let mut world = World::of("node n1 | service web replicas=1 | task web.1 on n1 running");
        for stray in [Id(36 * 7), Id(36 * 7 + 1)] {
            world.record(Kind::StrayObserved(StrayObserved {
                task_id: stray.to_bytes(),
                node_id: id("node", "n1").to_bytes(),
                state: TaskState::Running as i32,
            }));
        }
        world
    }

    fn asked(task: &str) -> Result<Admitted, Refusal> {
        disown(&world().view, &DisownStray { task: task.into() })
    }

    #[test]
    fn a_stray_is_disowned_by_its_id() {
        let admitted = asked(&Id(36 * 7).to_string()).expect("it is there");
        assert_eq!(admitted.object, Id(36 * 7));
        assert_eq!(admitted.events.len(), 1);
    }

    #[test]
    fn the_beginning_of_several_is_refused() {
        let refusal = asked("0").expect_err("both begin so");
        assert_eq!(refusal.message, "task \"0\" is ambiguous: several strays begin like this");
        assert_eq!(refusal.hint, "`skep stray ls` lists them");
    }

    #[test]
    fn a_task_that_history_knows_is_its_services_business() {
        let refusal = asked("web.1").expect_err("it is not a stray");
        let message = "task \"web.1\" belongs to a service, which would replace it";
        assert_eq!(refusal.message, message);
        assert!(refusal.hint.contains("skep service rm"), "{refusal:?}");
    }

    #[test]
    fn what_is_no_task_at_all_is_not_found() {
        let empty = asked("").expect_err("nothing is named");
        assert_eq!((empty.code, empty.message.as_str()), (Invalid, "no task is named"));
        for nothing in ["zzz", "web", "\u{0}"] {
            let refusal = asked(nothing).expect_err("it is not a task");
            assert_eq!(refusal.message, format!("no stray task {nothing:?}"));
            assert!(refusal.hint.contains("skep stray ls"), "{refusal:?}");
        }
    }
}
