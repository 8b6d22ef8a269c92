//! What a runtime may be unable to do, as text. PURE.

use crate::v1::{Feature, RuntimeKind};

/// What a runtime without this feature does not do: "gives no terminal".
pub fn lacks(feature: Feature) -> &'static str {
    match feature {
        Feature::Unspecified => "cannot do what the spec asks for",
        Feature::Images => "runs no images",
        Feature::Mounts => "mounts no volumes and no folders",
        Feature::BridgeNetwork => "has no bridge network",
        Feature::NoNetwork => "cannot keep tasks off the network",
        Feature::PublishHost => "publishes no ports",
        Feature::Health => "makes no health checks",
        Feature::Limits => "limits neither CPU, memory nor processes",
        Feature::Hostname => "gives tasks no host name of their own",
        Feature::ReadOnly => "gives no read-only file system",
        Feature::Init => "runs no init process",
        Feature::User => "runs tasks as no other user",
        Feature::Tty => "gives no terminal",
        Feature::ContainerLabels => "keeps no container labels",
        Feature::CreateMountpoint => "makes no missing folders for bind mounts",
        Feature::HealthStartInterval => "checks health no more often at the start",
        Feature::ReadOnlyRecursive => {
            "mounts no folder read-only with all that is mounted below it"
        }
        Feature::VolumeSubpath => "mounts no part of a volume",
        Feature::TmpfsOptions => "takes no options of a tmpfs",
    }
}

/// A runtime's name, as `--runtime` takes it.
pub fn runtime_name(kind: RuntimeKind) -> &'static str {
    match kind {
        RuntimeKind::Docker => "docker",
        RuntimeKind::Process => "process",
        RuntimeKind::Fake => "fake",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_feature_has_a_phrase_of_its_own() {
        let all = (0..=Feature::TmpfsOptions as i32).map(Feature::try_from);
        let phrases: BTreeSet<_> = all.map(|feature| lacks(feature.unwrap())).collect();
        assert_eq!(phrases.len(), Feature::TmpfsOptions as usize + 1);
    }
}
