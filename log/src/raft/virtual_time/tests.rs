//! What a world promises to the tasks that run in it.

use super::*;
use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};

const SECOND: Duration = Duration::from_secs(1);

/// What a few tasks that wake each other do, in the order in which they did it.
fn play(seed: u64) -> Vec<(u64, Duration)> {
    let world = VirtualTime::new(seed);
    let (tell, mut told) = mpsc::unbounded_channel();
    for number in 0..5 {
        let (tell, own) = (tell.clone(), world.clone());
        let task = async move {
            for _ in 0..4 {
                tell.send((number, own.now())).unwrap();
                own.sleep(Duration::from_millis(own.below(3))).await;
            }
        };
        world.spawn_in(world.process(), task.boxed());
    }
    drop(tell);
    world.block_on(async {
        let mut seen = Vec::new();
        while let Some(one) = told.recv().await {
            seen.push(one);
        }
        seen
    })
}

#[test]
fn a_seed_gives_one_run_and_another_seed_another() {
    assert_eq!(play(1), play(1));
    assert_eq!(play(2), play(2));
    assert_ne!(play(1), play(2));
}

#[test]
fn time_goes_on_only_when_nothing_is_ready() {
    let world = VirtualTime::new(1);
    let waited = world.block_on(async {
        let before = world.now();
        world.sleep(3600 * SECOND).await;
        world.now() - before
    });
    assert_eq!(waited, 3600 * SECOND);
}

#[test]
fn a_killed_process_does_nothing_more_and_drops_what_it_holds() {
    let world = VirtualTime::new(1);
    let (held, dropped) = oneshot::channel::<()>();
    let process = world.process();
    let own = world.clone();
    let task = async move {
        let _held = held;
        own.sleep(SECOND).await;
        panic!("it was killed");
    };
    world.spawn_in(process, task.boxed());
    world.block_on(async {
        world.sleep(SECOND / 2).await;
        world.kill(process);
        dropped.await.unwrap_err();
        world.sleep(2 * SECOND).await;
    });
}

#[test]
fn a_process_may_kill_itself() {
    let world = VirtualTime::new(1);
    let (process, own) = (world.process(), world.clone());
    world.spawn_in(process, async move { own.kill(process) }.boxed());
    world.block_on(world.sleep(SECOND));
    assert!(world.state().tasks.is_empty());
}

#[test]
fn a_process_that_stands_still_goes_on_with_what_is_due() {
    let world = VirtualTime::new(1);
    let (process, own) = (world.process(), world.clone());
    let (tell, told) = oneshot::channel();
    let task = async move {
        own.sleep(SECOND).await;
        tell.send(own.now()).unwrap();
    };
    world.spawn_in(process, task.boxed());
    let woke = world.block_on(async {
        world.sleep(SECOND / 2).await;
        world.stand_still(process, ProcessClock::GoesOn);
        world.sleep(10 * SECOND).await;
        world.resume(process);
        told.await.unwrap()
    });
    assert_eq!(woke, 10 * SECOND + SECOND / 2);
}

#[test]
fn a_clock_that_stood_still_is_behind() {
    let world = VirtualTime::new(1);
    let (process, own) = (world.process(), world.clone());
    let (tell, told) = oneshot::channel();
    let task = async move {
        own.sleep(SECOND).await;
        tell.send(own.now()).unwrap();
    };
    world.spawn_in(process, task.boxed());
    let (by_its_own, by_the_world_s) = world.block_on(async {
        world.sleep(SECOND / 2).await;
        world.stand_still(process, ProcessClock::StandsStill);
        world.sleep(10 * SECOND).await;
        world.resume(process);
        (told.await.unwrap(), world.now())
    });
    assert_eq!((by_its_own, by_the_world_s), (SECOND, 11 * SECOND));
}

#[test]
#[should_panic(expected = "all wait for each other")]
fn a_world_in_which_nothing_can_happen_any_more_says_so() {
    let (_never, asked) = oneshot::channel::<()>();
    drop(VirtualTime::new(1).block_on(asked));
}
