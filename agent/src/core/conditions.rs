//! What is wrong with this node as a whole, for the cluster to know. PURE.
//!
//! A condition has a kind, a text and the time at which it began. The whole set is reported when a
//! session begins, and again when a kind comes or goes: another text for the same kind is no news,
//! so a node whose engine fails with ever other messages does not fill the log.

use skep_proto::{
    Timestamp, os_error,
    time::SECOND_NS,
    v1::{Condition, ConditionKind},
};
use std::collections::{BTreeMap, BTreeSet};

/// An image that could not be pulled is held against the node for so long after the last try, as
/// long as a task has it.
const PULL_FAILING_LIMIT_NS: u64 = 300 * SECOND_NS;
/// Images whose pulls failed that are remembered; one more takes the place of the one that failed
/// longest ago.
const PULLS_FAILED_MAX: usize = 16;

/// Which listing of the runtime's containers went wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum ListingKind {
    /// The one that an agent begins with.
    First,
    /// One of those that the runtime makes by itself later.
    Regular,
}

/// Something that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
struct NodeFault {
    message: String,
    since: Timestamp,
}

/// Everything that is wrong with the node.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    faults: BTreeMap<ConditionKind, NodeFault>,
    /// Why the containers could not be listed.
    unlisted: BTreeMap<ListingKind, String>,
    /// Images that could not be pulled: why, and when that was tried last.
    pulls: BTreeMap<String, (String, Timestamp)>,
    /// The kinds that the cluster knows; none before a session began.
    told: Option<Vec<ConditionKind>>,
}

impl Conditions {
    /// This is wrong, or with an empty text is not.
    pub(crate) fn set(&mut self, kind: ConditionKind, message: &str, now: Timestamp) {
        if message.is_empty() {
            self.faults.remove(&kind);
            return;
        }
        let fresh = NodeFault { message: String::new(), since: now };
        self.faults.entry(kind).or_insert(fresh).message = os_error::plain(message);
    }

    /// The containers could not be listed, or with an empty text could.
    pub(crate) fn on_unlisted(&mut self, listing: ListingKind, problem: &str, now: Timestamp) {
        if problem.is_empty() {
            self.unlisted.remove(&listing);
        } else {
            self.unlisted.insert(listing, problem.to_owned());
        }
        let message = self.unlisted.values().next().cloned().unwrap_or_default();
        self.set(ConditionKind::TasksUnlisted, &message, now);
    }

    /// An image could not be pulled.
    pub(crate) fn on_pull_failed(&mut self, image: &str, reason: &str, now: Timestamp) {
        if self.pulls.len() >= PULLS_FAILED_MAX && !self.pulls.contains_key(image) {
            let oldest =
                self.pulls.iter().min_by_key(|(_, (_, at))| *at).map(|(image, _)| image.clone());
            oldest.and_then(|image| self.pulls.remove(&image));
        }
        self.pulls.insert(image.to_owned(), (reason.to_owned(), now));
        self.weigh_pulls(now);
    }

    /// A task with this image was prepared: it is here.
    pub(crate) fn on_prepared(&mut self, image: &str, now: Timestamp) {
        if self.pulls.remove(image).is_some() {
            self.weigh_pulls(now);
        }
    }

    /// Whether any pull has failed that still counts.
    pub(crate) fn has_failed_pulls(&self) -> bool {
        !self.pulls.is_empty()
    }

    /// Only these images are those of tasks.
    pub(crate) fn on_needed(&mut self, images: &BTreeSet<&str>, now: Timestamp) {
        let before = self.pulls.len();
        self.pulls.retain(|image, _| images.contains(image.as_str()));
        if self.pulls.len() != before {
            self.weigh_pulls(now);
        }
    }

    /// Time has passed.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        let before = self.pulls.len();
        self.pulls.retain(|_, (_, at)| now.since(*at) < PULL_FAILING_LIMIT_NS);
        if self.pulls.len() != before {
            self.weigh_pulls(now);
        }
    }

    /// When [`Conditions::on_time`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.pulls.values().map(|(_, at)| *at + PULL_FAILING_LIMIT_NS).min()
    }

    fn weigh_pulls(&mut self, now: Timestamp) {
        let newest = self.pulls.iter().max_by_key(|(_, (_, at))| *at);
        let message =
            newest.map(|(image, (reason, _))| format!("{image}: {reason}")).unwrap_or_default();
        self.set(ConditionKind::PullFailing, &message, now);
    }

    /// All conditions, for the greeting of a session; they are not sent again after it.
    pub(crate) fn greet(&mut self) -> Vec<Condition> {
        self.told = Some(self.kinds());
        self.all()
    }

    /// All of it, if there is something that an open session does not know yet.
    pub(crate) fn poll(&mut self) -> Option<Vec<Condition>> {
        let kinds = self.kinds();
        let is_news = self.told.as_ref().is_some_and(|told| *told != kinds);
        is_news.then(|| {
            self.told = Some(kinds);
            self.all()
        })
    }

    /// The session has ended; the greeting of the next one brings all conditions.
    pub(crate) fn close(&mut self) {
        self.told = None;
    }

    fn kinds(&self) -> Vec<ConditionKind> {
        self.faults.keys().copied().collect()
    }

    fn all(&self) -> Vec<Condition> {
        let condition = |(kind, fault): (&ConditionKind, &NodeFault)| Condition {
            kind: (*kind).into(),
            message: fault.message.clone(),
            since_at: fault.since.0,
        };
        self.faults.iter().map(condition).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: ConditionKind = ConditionKind::EngineUnreachable;
    const PULL: ConditionKind = ConditionKind::PullFailing;

    fn told(conditions: Option<Vec<Condition>>) -> Vec<(ConditionKind, String, u64)> {
        let all = conditions.expect("something is told");
        all.into_iter().map(|c| (c.kind(), c.message, c.since_at)).collect()
    }

    fn greeted() -> Conditions {
        let mut conditions = Conditions::default();
        assert_eq!(conditions.greet(), []);
        conditions
    }

    #[test]
    fn a_kind_that_comes_or_goes_is_told_and_another_text_is_not() {
        let mut conditions = greeted();
        assert_eq!(conditions.poll(), None);
        conditions.set(ENGINE, "no answer", Timestamp(5));
        assert_eq!(told(conditions.poll()), [(ENGINE, "no answer".to_owned(), 5)]);
        conditions.set(ENGINE, "connection refused", Timestamp(9));
        assert_eq!(conditions.poll(), None);
        conditions.close();
        assert_eq!(conditions.poll(), None, "nobody listens");
        assert_eq!(told(Some(conditions.greet())), [(ENGINE, "connection refused".to_owned(), 5)]);
        conditions.set(ENGINE, "", Timestamp(10));
        assert_eq!(told(conditions.poll()), []);
        conditions.set(ENGINE, "no answer", Timestamp(11));
        conditions.set(ENGINE, "", Timestamp(12));
        assert_eq!(conditions.poll(), None, "it was over before it could be told");
    }

    #[test]
    fn a_condition_says_a_system_error_without_its_number() {
        let mut conditions = greeted();
        conditions.set(ENGINE, "/run/x: Permission denied (os error 13)", Timestamp(1));
        let expected = (ENGINE, "/run/x: permission denied".to_owned(), 1);
        assert_eq!(told(conditions.poll()), [expected]);
    }

    #[test]
    fn what_cannot_be_listed_is_told_until_every_listing_works() {
        const UNLISTED: ConditionKind = ConditionKind::TasksUnlisted;
        let mut conditions = greeted();
        conditions.on_unlisted(ListingKind::First, "no answer", Timestamp(1));
        assert_eq!(told(conditions.poll()), [(UNLISTED, "no answer".to_owned(), 1)]);
        conditions.on_unlisted(ListingKind::Regular, "too slow", Timestamp(2));
        conditions.on_unlisted(ListingKind::First, "", Timestamp(3));
        assert_eq!(conditions.poll(), None, "one of them still fails");
        conditions.on_unlisted(ListingKind::Regular, "", Timestamp(4));
        assert_eq!(told(conditions.poll()), []);
    }

    #[test]
    fn a_failing_pull_counts_until_the_image_is_here_or_nobody_has_tried_for_long() {
        let mut conditions = greeted();
        conditions.on_pull_failed("a", "no route", Timestamp(1));
        assert_eq!(told(conditions.poll()), [(PULL, "a: no route".to_owned(), 1)]);
        conditions.on_pull_failed("b", "not found", Timestamp(2));
        conditions.on_prepared("a", Timestamp(3));
        conditions.on_prepared("c", Timestamp(3));
        assert_eq!(conditions.poll(), None, "there is still b");
        assert_eq!(conditions.poll_timeout(), Some(Timestamp(2) + PULL_FAILING_LIMIT_NS));
        conditions.on_time(Timestamp(1) + PULL_FAILING_LIMIT_NS);
        assert_eq!(conditions.poll(), None);
        conditions.on_time(Timestamp(2) + PULL_FAILING_LIMIT_NS);
        assert_eq!(told(conditions.poll()), []);
        assert_eq!(conditions.poll_timeout(), None);
        conditions.on_pull_failed("a", "no route", Timestamp(9));
        assert_eq!(told(conditions.poll()).len(), 1);
        conditions.on_prepared("a", Timestamp(10));
        assert_eq!(told(conditions.poll()), [], "it is here");
    }

    #[test]
    fn a_pull_is_forgotten_when_no_task_needs_its_image() {
        let mut conditions = greeted();
        conditions.on_pull_failed("a", "no route", Timestamp(1));
        conditions.on_pull_failed("b", "not found", Timestamp(2));
        assert_eq!(told(conditions.poll()), [(PULL, "b: not found".to_owned(), 1)]);
        conditions.on_needed(&BTreeSet::from(["a", "c"]), Timestamp(3));
        assert_eq!(conditions.poll(), None, "a still counts");
        assert_eq!(told(Some(conditions.greet())), [(PULL, "a: no route".to_owned(), 1)]);
        conditions.on_needed(&BTreeSet::from(["c"]), Timestamp(4));
        assert_eq!(told(conditions.poll()), []);
        assert!(!conditions.has_failed_pulls());
    }

    #[test]
    fn failed_pulls_are_bounded_and_the_newest_stay() {
        let mut conditions = greeted();
        for n in 1..=40 {
            conditions.on_pull_failed(&format!("image-{n}"), "no", Timestamp(n));
        }
        assert_eq!(conditions.pulls.len(), PULLS_FAILED_MAX);
        assert!(
            conditions.pulls.contains_key("image-40") && !conditions.pulls.contains_key("image-24")
        );
    }
}
