//! What a leader records before its first tenure on a history begins. PURE.

use super::identity::ManagerIdentity;
use crate::turn::Seeds;
use skep_projections::View;
use skep_proto::{
    FEATURE_LEVEL, LINEAGE_LEVEL, Lineage,
    v1::{self, event::Kind},
};

/// What must be true before a tenure begins: the incarnation, the cluster, and the feature level.
/// The numbers in it are the seed's own, not from its stream of ids: the first turn draws from
/// that.
pub(super) fn facts(
    view: &View,
    identity: &ManagerIdentity,
    begun: Option<u64>,
    seeds: Seeds,
) -> Vec<Kind> {
    let mut facts = Vec::new();
    let mut random = [0; 8];
    random.copy_from_slice(&seeds.ids[16..24]);
    let fresh = Lineage::from_random(random);
    // Programs below the level would drop it, so there the record that raises the level names it.
    let names_lineage = view.level() >= LINEAGE_LEVEL;
    if let Some(incarnation) = begun.filter(|begun| *begun > view.position().incarnation) {
        let message = "the log was cut by `skep recover --accept-loss`".into();
        let lineage = if names_lineage { fresh.0 } else { 0 };
        facts.push(Kind::IncarnationBegun(v1::IncarnationBegun { incarnation, message, lineage }));
    }
    if view.cluster().id.is_none() {
        let cluster_id = bytes::Bytes::copy_from_slice(&seeds.ids[..16]);
        let spec = Some(identity.genesis.clone());
        facts.push(Kind::ClusterCreated(Box::new(v1::ClusterCreated { cluster_id, spec })));
    }
    // Where this manager is the only one, every manager knows what it knows. Of others nobody has
    // said what their programs know.
    if view.level() < FEATURE_LEVEL && view.managers().count() <= 1 {
        let lineage = if names_lineage { 0 } else { fresh.0 };
        let raised = v1::FeatureLevelRaised { level: FEATURE_LEVEL, lineage };
        facts.push(Kind::FeatureLevelRaised(raised));
    }
    facts
}
