//! What tasks print whose agents have their sessions at another manager.

use super::ManagerPeers;
use crate::logs::Broker;
use skep_log::PeerLane;
use skep_proto::{
    Id,
    v1::{LogOrder, NodeLogOrder},
};
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// An order that another manager has passed on to its agent. Dropping it ends the order there.
pub struct OrderElsewhere {
    manager: Id,
    _reading: AbortOnDropHandle<()>,
}

impl ManagerPeers {
    /// Has a manager read from the agent of a node whose session it holds. The chunks come to the
    /// order of the same number that is open in the broker; none where the manager is not reached,
    /// or the node has no session there.
    pub async fn order_logs(
        &self,
        (manager, node): (Id, Id),
        order: LogOrder,
        broker: Arc<Broker>,
    ) -> Option<OrderElsewhere> {
        let (mut client, connection) = self.client(manager, PeerLane::Bulk, "").await.ok()?;
        let request = order.request;
        let asked = NodeLogOrder { node_id: node.to_bytes(), order: Some(order) };
        let reading = client.read_logs(asked).await.inspect_err(|status| connection.note(status));
        let mut chunks = reading.ok()?.into_inner();
        let reading = tokio::spawn(async move {
            // An error of the stream and its end are the same to the reader: no more will come.
            while let Ok(Some(chunk)) = chunks.message().await {
                if chunk.request != request || !broker.take(chunk).await {
                    break;
                }
            }
            broker.close(request);
        });
        Some(OrderElsewhere { manager, _reading: AbortOnDropHandle::new(reading) })
    }

    /// Adds tasks to an order; false where they are not read.
    pub async fn add_to_order(&self, to: &OrderElsewhere, node: Id, order: LogOrder) -> bool {
        let client = self.client(to.manager, PeerLane::Bulk, "").await;
        let Ok((mut client, connection)) = client else { return false };
        let asked = NodeLogOrder { node_id: node.to_bytes(), order: Some(order) };
        let added = client.add_to_order(asked).await;
        let added = added.inspect_err(|status| connection.note(status));
        added.is_ok_and(|added| added.into_inner().taken)
    }
}
