//! Asks other managers how much of their disks is free, and what feature level they know.

use super::ManagerPeers;
use futures::future::join_all;
use skep_log::PeerLane;
use skep_proto::v1::{RoomReply, RoomRequest};
use std::time::Duration;
use tokio::time::timeout;

/// A manager that has not answered by then has not said anything.
const ROOM_LIMIT: Duration = Duration::from_secs(1);
/// A share of one in the units in which it travels.
pub(crate) const FREE_SHARE_UNIT: f64 = 1_000_000.0;

impl ManagerPeers {
    /// The free share of the disk of each of these managers that answers, with its number.
    pub(crate) async fn free_shares(&self, raft_ids: impl Iterator<Item = u64>) -> Vec<(u64, f64)> {
        let share = |reply: RoomReply| f64::from(reply.free_millionths) / FREE_SHARE_UNIT;
        let told = self.rooms(raft_ids).await.into_iter();
        told.map(|(raft_id, reply)| (raft_id, share(reply))).collect()
    }

    /// The feature level that the program of each of these managers knows, of those that answer.
    pub(crate) async fn levels(&self, raft_ids: impl Iterator<Item = u64>) -> Vec<(u64, u32)> {
        let told = self.rooms(raft_ids).await.into_iter();
        told.map(|(raft_id, reply)| (raft_id, reply.feature_level)).collect()
    }

    async fn rooms(&self, raft_ids: impl Iterator<Item = u64>) -> Vec<(u64, RoomReply)> {
        let asked = raft_ids.map(|raft_id| async move {
            let node = self.numbered(raft_id)?;
            let ask = async {
                let (mut client, connection) =
                    self.client(node, PeerLane::Urgent, "").await.ok()?;
                let reply = client.room(RoomRequest {}).await;
                let reply = reply.map_err(|status| connection.note(&status)).ok()?;
                Some((raft_id, reply.into_inner()))
            };
            timeout(ROOM_LIMIT, ask).await.ok()?
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}
