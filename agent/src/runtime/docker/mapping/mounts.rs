//! A spec's mounts as the engine wants them. Pure.

use super::{rejected, text};
use crate::runtime::RuntimeError;
use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig,
};
use skep_proto::v1::{
    BindOptions, BindPropagation, Mount as Wanted, MountConsistency, MountType as WantedType,
    TmpfsOptions, VolumeOptions,
};

/// All of them, in the spec's order.
pub(super) fn mounts(wanted: &[Wanted]) -> Result<Vec<Mount>, RuntimeError> {
    wanted.iter().map(mount).collect()
}

fn mount(wanted: &Wanted) -> Result<Mount, RuntimeError> {
    let typ = match wanted.r#type() {
        WantedType::Bind => MountType::BIND,
        WantedType::Volume => MountType::VOLUME,
        WantedType::Tmpfs => MountType::TMPFS,
        WantedType::Npipe => return Err(rejected("named pipes are for Windows and not supported")),
        WantedType::Cluster => return Err(rejected("cluster volumes are not supported yet")),
    };
    let consistency = match wanted.consistency() {
        MountConsistency::Default => None,
        MountConsistency::Consistent => Some("consistent".to_owned()),
        MountConsistency::Cached => Some("cached".to_owned()),
        MountConsistency::Delegated => Some("delegated".to_owned()),
    };
    Ok(Mount {
        typ: Some(typ),
        source: text(&wanted.source),
        target: text(&wanted.target),
        read_only: Some(wanted.read_only),
        consistency,
        bind_options: wanted.bind.as_ref().map(bind),
        volume_options: wanted.volume.as_ref().map(volume),
        tmpfs_options: wanted.tmpfs.as_ref().map(tmpfs),
        ..Mount::default()
    })
}

fn bind(options: &BindOptions) -> MountBindOptions {
    let propagation = match options.propagation() {
        BindPropagation::Rprivate => MountBindOptionsPropagationEnum::RPRIVATE,
        BindPropagation::Private => MountBindOptionsPropagationEnum::PRIVATE,
        BindPropagation::Rshared => MountBindOptionsPropagationEnum::RSHARED,
        BindPropagation::Shared => MountBindOptionsPropagationEnum::SHARED,
        BindPropagation::Rslave => MountBindOptionsPropagationEnum::RSLAVE,
        BindPropagation::Slave => MountBindOptionsPropagationEnum::SLAVE,
    };
    // An engine that does not know an option refuses it even where it is false: so only what is
    // asked for is sent.
    let asked = |value: bool| value.then_some(true);
    MountBindOptions {
        propagation: Some(propagation),
        non_recursive: asked(options.non_recursive),
        create_mountpoint: asked(options.create_mountpoint),
        read_only_non_recursive: asked(options.read_only_non_recursive),
        read_only_force_recursive: asked(options.read_only_force_recursive),
    }
}

fn volume(options: &VolumeOptions) -> MountVolumeOptions {
    let driver = !options.driver.is_empty() || !options.driver_options.is_empty();
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    MountVolumeOptions {
        no_copy: Some(options.no_copy),
        labels: Some(pairs(&options.labels)),
        driver_config: driver.then(|| MountVolumeOptionsDriverConfig {
            name: text(&options.driver),
            options: Some(pairs(&options.driver_options)),
        }),
        subpath: text(&options.subpath),
    }
}

fn tmpfs(options: &TmpfsOptions) -> MountTmpfsOptions {
    let pairs = options.options.split(',').filter(|word| !word.is_empty());
    let pairs: Vec<Vec<String>> =
        pairs.map(|word| word.splitn(2, '=').map(str::to_owned).collect()).collect();
    MountTmpfsOptions {
        size_bytes: i64::try_from(options.size_bytes).ok().filter(|size| *size > 0),
        mode: (options.mode != 0).then_some(i64::from(options.mode)),
        options: (!pairs.is_empty()).then_some(pairs),
    }
}
