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
pub(super) enum ModelOp {
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

fn op() -> impl Strategy<Value = ModelOp> {
    prop_oneof![
        3 => Just(ModelOp::Create),
        2 => (0..8usize, wish()).prop_map(|(n, state)| ModelOp::Want(n, state)),
        1 => (0..8usize).prop_map(ModelOp::Remove),
        4 => Just(ModelOp::Deliver),
        1 => Just(ModelOp::DeliverWhole),
        2 => (0..50usize).prop_map(ModelOp::Again),
        1 => Just(ModelOp::Break),
        3 => Just(ModelOp::Attach),
        1 => Just(ModelOp::Restart),
        3 => Just(ModelOp::Acknowledge),
        9 => (0..9usize).prop_map(ModelOp::Answer),
        2 => (0..9usize).prop_map(ModelOp::FindAway),
        2 => (0..4usize).prop_map(ModelOp::AnswerLate),
        2 => (0..8usize).prop_map(ModelOp::EndItself),
        2 => (1..40_000u64).prop_map(ModelOp::Pass),
        1 => Just(ModelOp::BackUp),
        1 => Just(ModelOp::Restore),
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
