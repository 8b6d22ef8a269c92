//! What is mounted into a container. PURE.

use super::{super::Refusal, labels, text};
use skep_projections::View;
use skep_proto::{
    defaults,
    v1::{BindPropagation, Mount, MountConsistency, MountType, RuntimeKind, VolumeOptions},
};
use std::collections::BTreeSet;

/// Longest name of a volume, bytes: it becomes the name of a folder.
const VOLUME_NAME_BYTES_MAX: usize = 255;
/// The highest mode of a file.
const MODE_MAX: u32 = 0o7777;

pub(super) fn validate(view: &View, mounts: &[Mount]) -> Result<(), Refusal> {
    let mut targets = BTreeSet::new();
    for mount in mounts {
        super::known::<MountType>("mount type", mount.r#type, "bind, volume or tmpfs")?;
        super::known::<MountConsistency>("mount consistency", mount.consistency, "default")?;
        templates(mount)?;
        if !targets.insert(target(&mount.target)?) {
            return Err(Refusal::invalid(format!(
                "mount target {:?} is named twice",
                mount.target
            ))
            .hint("mount one thing there"));
        }
        source(mount)?;
        options(mount)?;
        if let Some(volume) = &mount.volume {
            labels("volume", &volume.labels)?;
            driver(view, &volume.driver)?;
        }
    }
    Ok(())
}

fn templates(mount: &Mount) -> Result<(), Refusal> {
    text::no_template("a mount's source", &mount.source)?;
    text::no_template("a mount's target", &mount.target)?;
    let Some(VolumeOptions { labels, driver_options, subpath, .. }) = &mount.volume else {
        return Ok(());
    };
    labels.values().try_for_each(|value| text::no_template("a volume's label", value))?;
    driver_options
        .values()
        .try_for_each(|value| text::no_template("a volume's driver option", value))?;
    text::no_template("a volume's subpath", subpath)
}

/// The parts of the path, so that two spellings of one path are found to be the same.
fn target(target: &str) -> Result<Vec<&str>, Refusal> {
    text::no_zero("mount target", target)?;
    if !target.starts_with('/') {
        return Err(Refusal::invalid(format!("mount target {target:?} is not an absolute path"))
            .hint("begin it with '/'"));
    }
    let parts: Vec<&str> =
        target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return Err(
            Refusal::invalid("nothing can be mounted at '/'").hint("name a folder below it")
        );
    }
    if parts.contains(&"..") {
        return Err(Refusal::invalid(format!("mount target {target:?} holds '..'"))
            .hint("write the path out"));
    }
    Ok(parts)
}

fn source(mount: &Mount) -> Result<(), Refusal> {
    text::no_zero("mount source", &mount.source)?;
    let fits = match mount.r#type() {
        MountType::Bind => mount.source.starts_with('/'),
        MountType::Volume => mount.source.is_empty() || is_volume_name(&mount.source),
        MountType::Tmpfs => mount.source.is_empty(),
        MountType::Npipe | MountType::Cluster => true,
    };
    if fits {
        return Ok(());
    }
    if mount.r#type() == MountType::Volume && mount.source.len() == 1 {
        return Err(Refusal::invalid(format!("volume name {:?} is too short", mount.source))
            .hint("engines take names of two characters or more"));
    }
    Err(Refusal::invalid(format!("mount source {:?} does not fit its type", mount.source))
        .hint("bind takes an absolute path, volume a name of letters, digits, '_', '.' and '-', tmpfs none"))
}

fn is_volume_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins_well && (2..=VOLUME_NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(inner)
}

/// Options of another type of mount would be ignored.
fn options(mount: &Mount) -> Result<(), Refusal> {
    let kind = mount.r#type();
    let foreign = [
        (mount.bind.is_some() && kind != MountType::Bind, "bind"),
        (mount.volume.is_some() && kind != MountType::Volume, "volume"),
        (mount.tmpfs.is_some() && kind != MountType::Tmpfs, "tmpfs"),
    ];
    if let Some((_, options)) = foreign.iter().find(|(is_foreign, _)| *is_foreign) {
        return Err(Refusal::invalid(format!(
            "the mount at {:?} has {options} options and is of another type",
            mount.target
        ))
        .hint("leave the options out, or change the type"));
    }
    if let Some(bind) = &mount.bind {
        super::known::<BindPropagation>(
            "bind propagation",
            bind.propagation,
            "rprivate, rshared or rslave",
        )?;
    }
    if let Some(tmpfs) =
        mount.tmpfs.as_ref().filter(|t| t.mode > MODE_MAX || i64::try_from(t.size_bytes).is_err())
    {
        let message = format!(
            "the tmpfs of {} bytes and mode {:o} can't be made",
            tmpfs.size_bytes, tmpfs.mode
        );
        return Err(Refusal::invalid(message).hint("modes go up to 7777"));
    }
    Ok(())
}

/// Refuses a driver that no engine has. Only nodes with an engine count; while there is none, every
/// driver is admitted.
fn driver(view: &View, driver: &str) -> Result<(), Refusal> {
    if driver.is_empty() || driver == defaults::VOLUME_DRIVER {
        return Ok(());
    }
    let mut engines = view
        .classes()
        .map(|(_, class)| &class.key.machine)
        .filter(|machine| machine.runtime == RuntimeKind::Docker as i32)
        .peekable();
    if engines.peek().is_none() || engines.any(|machine| machine.has_plugin("Volume", driver)) {
        return Ok(());
    }
    Err(Refusal::precondition(format!("no node has the volume driver {driver:?}"))
        .hint("install the plugin on a node and restart its agent, or leave the driver out"))
}
