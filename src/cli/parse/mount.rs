//! Mounts in Docker's notation: `type=bind,source=/srv,target=/data,readonly`. PURE.

use super::{csv, memory};
use skep_proto::v1::{BindOptions, BindPropagation, Mount, MountType, TmpfsOptions, VolumeOptions};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// The keys of a mount, as an error lists them.
const KEYS: &str = "type, source, target, readonly, bind-propagation, bind-nonrecursive, bind-create-src, \
                    volume-driver, volume-opt, volume-label, volume-nocopy, volume-subpath, tmpfs-size, tmpfs-mode";

/// Reads one mount and checks that its parts fit together.
pub(crate) fn mount(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { r#type: MountType::Volume as i32, ..Mount::default() };
    let mut seen = BTreeSet::new();
    for field in csv::fields(text)? {
        let (key, value) = csv::pair(&field);
        if let Some(name) = single(key) {
            csv::once(&mut seen, key, name)?;
        }
        set(&mut mount, key, value)?;
    }
    check(&mount)?;
    Ok(mount)
}

/// The first name of a key that may be given once.
fn single(key: &str) -> Option<&'static str> {
    Some(match key {
        "source" | "src" => "source",
        "target" | "dst" | "destination" => "target",
        "readonly" | "ro" => "readonly",
        "volume-label" | "volume-opt" => return None,
        _ => KEYS.split(", ").find(|known| *known == key)?,
    })
}

fn set(mount: &mut Mount, key: &str, value: Option<&str>) -> Result<(), String> {
    let need = || value.filter(|v| !v.is_empty()).ok_or_else(|| format!("{key} has no value"));
    match key {
        "type" => mount.r#type = kind(need()?)? as i32,
        "source" | "src" => mount.source = need()?.to_owned(),
        "target" | "dst" | "destination" => mount.target = need()?.to_owned(),
        "readonly" | "ro" => mount.read_only = truth(key, value)?,
        "bind-propagation" => bind(mount).propagation = propagation(need()?)? as i32,
        "bind-nonrecursive" => bind(mount).non_recursive = truth(key, value)?,
        "bind-create-src" => bind(mount).create_mountpoint = truth(key, value)?,
        "volume-nocopy" => volume(mount).no_copy = truth(key, value)?,
        "volume-driver" => volume(mount).driver = need()?.to_owned(),
        "volume-subpath" => volume(mount).subpath = need()?.to_owned(),
        "volume-label" => {
            let (name, label) = super::label(need()?)?;
            add(&mut volume(mount).labels, key, name, label)?;
        }
        "volume-opt" => {
            let (name, option) = super::label(need()?)?;
            add(&mut volume(mount).driver_options, key, name, option)?;
        }
        "tmpfs-size" => tmpfs(mount).size_bytes = memory(need()?)?.unsigned_abs(),
        "tmpfs-mode" => {
            let mode = need()?;
            tmpfs(mount).mode = u32::from_str_radix(mode, 8)
                .map_err(|_| format!("{mode:?} is not an octal mode"))?;
        }
        "" => return Err("a field is empty: there is a comma too many".into()),
        _ => return Err(format!("key {key:?} is unknown; there are {KEYS}")),
    }
    Ok(())
}

fn add(
    pairs: &mut BTreeMap<String, String>,
    key: &str,
    name: String,
    value: String,
) -> Result<(), String> {
    match pairs.entry(name) {
        Entry::Occupied(before) => Err(format!("{key} {:?} is given twice", before.key())),
        Entry::Vacant(vacant) => {
            vacant.insert(value);
            Ok(())
        }
    }
}

fn check(mount: &Mount) -> Result<(), String> {
    if !mount.target.starts_with('/') {
        return Err("target must be an absolute path".into());
    }
    let kind = mount.r#type();
    let fits = match kind {
        MountType::Bind => mount.source.starts_with('/'),
        MountType::Volume => !mount.source.starts_with('/'),
        MountType::Tmpfs => mount.source.is_empty(),
        MountType::Npipe | MountType::Cluster => true,
    };
    if !fits {
        return Err(
            "the source does not fit: bind takes an absolute path, volume a name, tmpfs none"
                .into(),
        );
    }
    let strangers = [
        (mount.bind.is_some() && kind != MountType::Bind, "bind"),
        (mount.volume.is_some() && kind != MountType::Volume, "volume"),
        (mount.tmpfs.is_some() && kind != MountType::Tmpfs, "tmpfs"),
    ];
    match strangers.iter().find(|(stranger, _)| *stranger) {
        Some((_, word)) => Err(format!("{word}-… options belong to type={word}")),
        None => Ok(()),
    }
}

fn kind(text: &str) -> Result<MountType, String> {
    match text {
        "bind" => Ok(MountType::Bind),
        "volume" => Ok(MountType::Volume),
        "tmpfs" => Ok(MountType::Tmpfs),
        "npipe" | "cluster" => {
            Err(format!("type {text} is not supported yet; use bind, volume or tmpfs"))
        }
        _ => Err(format!("type {text:?} is unknown; use bind, volume or tmpfs")),
    }
}

fn propagation(text: &str) -> Result<BindPropagation, String> {
    Ok(match text {
        "rprivate" => BindPropagation::Rprivate,
        "private" => BindPropagation::Private,
        "rshared" => BindPropagation::Rshared,
        "shared" => BindPropagation::Shared,
        "rslave" => BindPropagation::Rslave,
        "slave" => BindPropagation::Slave,
        _ => return Err(format!("bind-propagation {text:?} is unknown")),
    })
}

fn truth(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{key} is true or false, not {other:?}")),
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind.get_or_insert_with(BindOptions::default)
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume.get_or_insert_with(VolumeOptions::default)
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs.get_or_insert_with(TmpfsOptions::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_read() {
        let bind =
            mount("type=bind,src=/srv,dst=/data,ro,bind-propagation=rslave").expect("a bind");
        assert_eq!((bind.r#type(), bind.read_only), (MountType::Bind, true));
        assert_eq!(bind.bind.map(|b| b.propagation()), Some(BindPropagation::Rslave));
        let volume = mount("source=data,target=/data,volume-label=a=b").expect("a volume");
        assert_eq!(volume.volume.and_then(|v| v.labels.get("a").cloned()), Some("b".into()));
        let tmpfs = mount("type=tmpfs,target=/tmp,tmpfs-size=1m,tmpfs-mode=1777").expect("a tmpfs");
        assert_eq!(tmpfs.tmpfs.map(|t| (t.size_bytes, t.mode)), Some((1 << 20, 0o1777)));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        for text in [
            "type=bind,source=srv,target=/data",
            "type=volume,source=/srv,target=/data",
            "type=tmpfs,source=x,target=/data",
            "type=bind,source=/srv",
            "type=bind,source=/srv,target=data",
            "type=cluster,source=x,target=/data",
            "source=x,target=/data,tmpfs-size=1m",
            "target=/data,colour=red",
            "target=/data,readonly=maybe",
            "type=bind, source=/srv,target=/data",
            "type=bind,source=/srv,target=/data,",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_overridden_silently() {
        for (text, told) in [
            ("type=bind,src=/a,source=/b,dst=/x", "source is given twice"),
            ("type=bind,source=/a,src=/b,dst=/x", "source is given twice, here as src"),
            ("type=tmpfs,dst=/x,target=/y", "target is given twice"),
            ("type=tmpfs,type=tmpfs,dst=/x", "type is given twice"),
            ("type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-size=2m", "tmpfs-size is given twice"),
            ("src=a1,dst=/x,volume-opt=o=a,volume-opt=o=b", "volume-opt \"o\" is given twice"),
            ("src=a1,dst=/x,volume-label=o=a,volume-label=o", "volume-label \"o\" is given twice"),
        ] {
            assert_eq!(mount(text).expect_err(text), told, "{text}");
        }
        let both = mount("src=a1,dst=/x,volume-opt=a=1,volume-opt=b=1").expect("two options");
        assert_eq!(both.volume.expect("options of it").driver_options.len(), 2);
    }

    #[test]
    fn a_field_in_quotes_may_hold_commas() {
        let text = "type=volume,src=t1,dst=/mnt,volume-driver=local,volume-opt=type=tmpfs,\
                    volume-opt=device=tmpfs,\"volume-opt=o=size=8m,mode=1777,nosuid\"";
        let options = mount(text).expect("a volume").volume.expect("options of it").driver_options;
        assert_eq!(options["o"], "size=8m,mode=1777,nosuid");
        assert_eq!((options["type"].as_str(), options.len()), ("tmpfs", 3));
        let bind = mount("type=bind,\"source=/tmp/a,b\",target=/x").expect("a bind");
        assert_eq!(bind.source, "/tmp/a,b");
    }

    #[test]
    fn an_unknown_key_is_answered_with_all_that_there_are() {
        let error = mount("target=/data,colour=red").expect_err("no such key");
        assert!(error.contains("\"colour\"") && error.contains("volume-opt"), "{error}");
    }
}
