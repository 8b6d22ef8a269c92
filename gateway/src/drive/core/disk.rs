//! How full the log's disk is, and what that forbids.

use crate::admit::Refusal;
use skep_log::FREE_SHARE_MIN;

/// Below this free share of the disk (bytes or inodes, whichever is less) people's additions are
/// refused.
pub const ADDITIONS_FREE_SHARE_MIN: f64 = 0.05;

/// What the disk has room for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum DiskRoom {
    /// For everything.
    #[default]
    Enough,
    /// For what keeps the cluster running and for what makes it smaller.
    Reserve,
    /// For nothing.
    None,
}

/// The free share of the disk, as it was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FreeShare(pub f64);

impl Default for FreeShare {
    fn default() -> FreeShare {
        FreeShare(1.0)
    }
}

impl FreeShare {
    /// What there is room for.
    pub fn room(self) -> DiskRoom {
        if self.0 < FREE_SHARE_MIN {
            DiskRoom::None
        } else if self.0 < ADDITIONS_FREE_SHARE_MIN {
            DiskRoom::Reserve
        } else {
            DiskRoom::Enough
        }
    }

    /// What is refused, in the words of `skep status`; nothing when there is enough room. `of`
    /// names the manager where there are several.
    pub(super) fn limit(self, of: &str) -> Option<String> {
        let percent = self.0 * 100.0;
        match self.room() {
            DiskRoom::Enough => None,
            DiskRoom::Reserve => Some(format!(
                "the disk of the log{of} is nearly full: {percent:.1} % is free; below {:.0} % nothing is added",
                ADDITIONS_FREE_SHARE_MIN * 100.0
            )),
            DiskRoom::None => Some(format!(
                "the disk of the log{of} is full: {percent:.1} % is free; below {:.0} % nothing is recorded",
                FREE_SHARE_MIN * 100.0
            )),
        }
    }

    /// Refuses what there is no room for.
    pub(super) fn refusal(self, of: &str) -> Option<Refusal> {
        let hint = match self.room() {
            DiskRoom::Enough => return None,
            // To remove services frees nothing: the log keeps all that was.
            DiskRoom::Reserve => {
                "make room on the disk; what is there goes on meanwhile, and no restart is needed"
            }
            DiskRoom::None => "make room on the disk; reads go on, and no restart is needed",
        };
        self.limit(of).map(|limit| Refusal::exhausted(limit).hint(hint))
    }
}
