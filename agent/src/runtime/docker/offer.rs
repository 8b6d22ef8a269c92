//! What an engine has to offer, asked once and in one call, and a second one for the bridge.

use super::engine::{Engine, is_status, within};
use crate::runtime::{Offer, RuntimeError};
use bollard::{ClientVersion, models::SystemInfo, query_parameters::InspectNetworkOptions};
use skep_proto::v1::{EngineDescription, EnginePlugin, Feature, Platform, Resources};

/// What can be offered now.
pub(super) async fn offer(engine: &Engine) -> Result<Offer, RuntimeError> {
    let client = engine.client().await?;
    let about = within(client.info()).await.map_err(|error| engine.say(&error))?;
    // An engine may be run without the bridge; then there is no network of that name.
    let networks =
        match within(client.inspect_network("bridge", None::<InspectNetworkOptions>)).await {
            Ok(_) => EngineNetworks::WithBridge,
            Err(error) if is_status(&error, 404) => EngineNetworks::WithoutBridge,
            Err(error) => return Err(engine.say(&error)),
        };
    Ok(Offer {
        platform: Platform {
            os: about.os_type.clone().unwrap_or_else(|| "linux".into()),
            architecture: architecture(about.architecture.as_deref().unwrap_or_default()),
        },
        resources: Resources {
            nano_cpus: about.ncpu.unwrap_or(0).saturating_mul(skep_proto::NANO_CPUS),
            memory_bytes: about.mem_total.unwrap_or(0),
            generic: Vec::new(),
        },
        features: features(&about, networks, client.client_version()),
        engine: Some(description(about)),
    })
}

/// The engine speaks of the kernel's names; platforms are known by Docker's.
fn architecture(name: &str) -> String {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "arm",
        other => other,
    }
    .to_owned()
}

/// Whether the engine has the network that containers are attached to by default.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EngineNetworks {
    WithBridge,
    WithoutBridge,
}

/// An engine ignores what came into its API later than the version it speaks, so the version that
/// was agreed on decides over those wishes.
fn features(about: &SystemInfo, networks: EngineNetworks, api: ClientVersion) -> Vec<Feature> {
    let since = |minor| (api.major_version, api.minor_version) >= (1, minor);
    let bridge = networks == EngineNetworks::WithBridge;
    let limits = about.memory_limit == Some(true) && about.cpu_cfs_quota == Some(true);
    let all = [
        (Feature::Images, true),
        (Feature::Mounts, true),
        (Feature::BridgeNetwork, bridge),
        (Feature::NoNetwork, true),
        (Feature::PublishHost, bridge),
        (Feature::Health, true),
        (Feature::Limits, limits),
        (Feature::Hostname, true),
        (Feature::ReadOnly, true),
        (Feature::Init, about.init_binary.as_deref().is_some_and(|binary| !binary.is_empty())),
        (Feature::User, true),
        (Feature::Tty, true),
        (Feature::ContainerLabels, true),
        (Feature::CreateMountpoint, since(42)),
        (Feature::HealthStartInterval, since(44)),
        (Feature::ReadOnlyRecursive, since(44)),
        (Feature::VolumeSubpath, since(45)),
        (Feature::TmpfsOptions, since(46)),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(feature, _)| feature).collect()
}

fn description(about: SystemInfo) -> EngineDescription {
    let labels = about.labels.unwrap_or_default();
    let labels = labels.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
    let plugins = about.plugins.unwrap_or_default();
    let kinds = [
        ("Volume", plugins.volume),
        ("Network", plugins.network),
        ("Authorization", plugins.authorization),
        ("Log", plugins.log),
    ];
    let plugins = kinds.into_iter().flat_map(|(kind, names)| {
        let plugin = move |name| EnginePlugin { r#type: kind.to_owned(), name };
        names.unwrap_or_default().into_iter().map(plugin)
    });
    EngineDescription {
        version: about.server_version.unwrap_or_default(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        plugins: plugins.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(minor_version: usize) -> Vec<Feature> {
        let api = ClientVersion { major_version: 1, minor_version };
        let offered = features(&SystemInfo::default(), EngineNetworks::WithBridge, api);
        let newer = (Feature::CreateMountpoint as i32..=Feature::TmpfsOptions as i32)
            .filter_map(|feature| Feature::try_from(feature).ok());
        newer.filter(|feature| !offered.contains(feature)).collect()
    }

    #[test]
    fn an_engine_offers_only_what_its_version_of_the_api_has() {
        let (start, recursive) = (Feature::HealthStartInterval, Feature::ReadOnlyRecursive);
        let (subpath, tmpfs) = (Feature::VolumeSubpath, Feature::TmpfsOptions);
        assert_eq!(
            lacks(41),
            [Feature::CreateMountpoint, start, recursive, subpath, tmpfs],
            "Docker 20.10"
        );
        assert_eq!(lacks(42), [start, recursive, subpath, tmpfs], "Docker 23");
        assert_eq!(lacks(44), [subpath, tmpfs], "Docker 25");
        assert_eq!(lacks(45), [tmpfs], "Docker 26");
        assert_eq!(lacks(46), [], "Docker 27");
    }
}
