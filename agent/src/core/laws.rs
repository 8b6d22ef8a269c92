//! Laws of the core that hold whatever happens, in whatever order.
//!
//! A little world is done all kinds of things to; see [`scene`] for what is checked on the way. In
//! the end everything is let go well, and must come to rest as the cluster wants it.

mod engine;
mod scene;

use proptest::prelude::*;
use scene::Scene;
use skep_proto::v1::TaskState;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Create,
    Want(usize, TaskState),
    Remove(usize),
    Deliver,
    DeliverWhole,
    Again(usize),
    Break,
    Attach,
    Restart,
    Acknowledge,
    Answer(usize),
    FindAway(usize),
    AnswerLate(usize),
    EndItself(usize),
    Pass(u64),
    BackUp,
    Restore,
}

fn wish() -> impl Strategy<Value = TaskState> {
    prop_oneof![Just(TaskState::Running), Just(TaskState::Shutdown), Just(TaskState::Remove)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Create),
        2 => (0..8usize, wish()).prop_map(|(n, state)| Op::Want(n, state)),
        1 => (0..8usize).prop_map(Op::Remove),
        4 => Just(Op::Deliver),
        1 => Just(Op::DeliverWhole),
        2 => (0..50usize).prop_map(Op::Again),
        1 => Just(Op::Break),
        3 => Just(Op::Attach),
        1 => Just(Op::Restart),
        3 => Just(Op::Acknowledge),
        9 => (0..9usize).prop_map(Op::Answer),
        2 => (0..9usize).prop_map(Op::FindAway),
        2 => (0..4usize).prop_map(Op::AnswerLate),
        2 => (0..8usize).prop_map(Op::EndItself),
        2 => (1..40_000u64).prop_map(Op::Pass),
        1 => Just(Op::BackUp),
        1 => Just(Op::Restore),
    ]
}

proptest! {
    #[test]
    fn only_what_is_assigned_runs_and_all_comes_right_in_the_end(ops in prop::collection::vec(op(), 1..120)) {
        let mut scene = Scene::new();
        for op in ops {
            scene.act(op);
        }
        scene.heal();
    }

    #[test]
    fn the_same_happening_twice_gives_the_same_outputs(ops in prop::collection::vec(op(), 1..60)) {
        let play = || {
            let mut scene = Scene::new();
            ops.iter().for_each(|op| scene.act(*op));
            format!("{scene:?}")
        };
        prop_assert_eq!(play(), play());
    }
}
