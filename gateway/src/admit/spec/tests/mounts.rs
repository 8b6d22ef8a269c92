//! Refusals of mounts and their volumes.

use super::*;

#[test]
fn a_mount_target_is_absolute_and_named_once() {
    let at = |targets: &'static [&'static str]| {
        move |spec: &mut ServiceSpec| {
            container(spec).mounts =
                targets.iter().map(|target| mount(MountType::Tmpfs, "", target)).collect();
        }
    };
    invalid(at(&["data"]), "mount target \"data\" is not an absolute path", "begin it with '/'");
    for root in [&["/"][..], &["//"], &["/./"]] {
        invalid(at(root), "nothing can be mounted at '/'", "name a folder below it");
    }
    invalid(at(&["/a/../b"]), "mount target \"/a/../b\" holds '..'", "write the path out");
    for (twice, second) in [(&["/a", "/a"][..], "/a"), (&["/a/b", "//a/./b/"], "//a/./b/")] {
        invalid(
            at(twice),
            &format!("mount target {second:?} is named twice"),
            "mount one thing there",
        );
    }
    allowed(at(&["/a", "/a/b", "/ab"]));
}

#[test]
fn a_mount_source_fits_its_type() {
    let from = |kind, source: &'static str| {
        move |spec: &mut ServiceSpec| container(spec).mounts.push(mount(kind, source, "/m"))
    };
    let hint = "bind takes an absolute path, volume a name of letters, digits, '_', '.' and '-', tmpfs none";
    let bad = [
        (MountType::Bind, "data"),
        (MountType::Bind, ""),
        (MountType::Volume, "/data"),
        (MountType::Volume, "-ab"),
        (MountType::Volume, "a b"),
        (MountType::Tmpfs, "x"),
    ];
    for (kind, source) in bad {
        invalid(
            from(kind, source),
            &format!("mount source {source:?} does not fit its type"),
            hint,
        );
    }
    invalid(
        from(MountType::Volume, "a"),
        "volume name \"a\" is too short",
        "engines take names of two characters or more",
    );
    let long: &'static str = Box::leak("v".repeat(256).into_boxed_str());
    assert!(asked(ENGINE, from(MountType::Volume, long)).is_err());
    assert!(asked(ENGINE, from(MountType::Volume, &long[1..])).is_ok());
    for (kind, source) in
        [(MountType::Bind, "/a,b c"), (MountType::Volume, ""), (MountType::Volume, "d1_.-")]
    {
        allowed(from(kind, source));
    }
    invalid(
        from(MountType::Bind, "/\0"),
        "mount source \"/\\0\" holds a zero byte",
        "leave it out",
    );
    unsupported(
        from(MountType::Cluster, "x"),
        "cluster volumes and named pipes: not supported yet",
        "leave it out",
    );
}

#[test]
fn no_part_of_a_mount_is_a_template() {
    let hint = "write the value itself; \"{{\" can't be part of it";
    let volume = |options: VolumeOptions| {
        move |spec: &mut ServiceSpec| {
            let mounted = mount(MountType::Volume, "data", "/m");
            container(spec).mounts.push(Mount { volume: Some(options), ..mounted });
        }
    };
    let pair = || BTreeMap::from([("k".to_owned(), "{{.Task.Slot}}".to_owned())]);
    let told = |what: &str| format!("{what} holds a template: not supported yet");
    unsupported(
        |spec| container(spec).mounts.push(mount(MountType::Volume, "{{.Service.Name}}", "/m")),
        &told("a mount's source"),
        hint,
    );
    unsupported(
        |spec| container(spec).mounts.push(mount(MountType::Volume, "data", "/{{.Task.Slot}}")),
        &told("a mount's target"),
        hint,
    );
    let options = VolumeOptions { labels: pair(), ..VolumeOptions::default() };
    unsupported(volume(options), &told("a volume's label"), hint);
    let options = VolumeOptions { driver_options: pair(), ..VolumeOptions::default() };
    unsupported(volume(options), &told("a volume's driver option"), hint);
    let options = VolumeOptions { subpath: "{{".into(), ..VolumeOptions::default() };
    unsupported(volume(options), &told("a volume's subpath"), hint);
}

#[test]
fn options_belong_to_the_type_of_their_mount() {
    let hint = "leave the options out, or change the type";
    let with = |mount: Mount| move |spec: &mut ServiceSpec| container(spec).mounts.push(mount);
    let (bind, volume) =
        (mount(MountType::Bind, "/a", "/m"), mount(MountType::Volume, "data", "/m"));
    let told =
        |kind: &str| format!("the mount at \"/m\" has {kind} options and is of another type");
    let foreign = Mount { bind: Some(BindOptions::default()), ..volume.clone() };
    invalid(with(foreign), &told("bind"), hint);
    let foreign = Mount { volume: Some(VolumeOptions::default()), ..bind.clone() };
    invalid(with(foreign), &told("volume"), hint);
    let foreign = Mount { tmpfs: Some(TmpfsOptions::default()), ..bind.clone() };
    invalid(with(foreign), &told("tmpfs"), hint);
    let spread = Mount {
        bind: Some(BindOptions { propagation: 6, ..BindOptions::default() }),
        ..bind.clone()
    };
    invalid(with(spread), "bind propagation 6 is unknown", "write rprivate, rshared or rslave");
    let seen = Mount { consistency: 4, ..bind.clone() };
    invalid(with(seen), "mount consistency 4 is unknown", "write default");
    let kind = Mount { r#type: 5, ..bind.clone() };
    invalid(with(kind), "mount type 5 is unknown", "write bind, volume or tmpfs");
    let tmpfs = |size_bytes, mode| Mount {
        tmpfs: Some(TmpfsOptions { size_bytes, mode, ..TmpfsOptions::default() }),
        ..mount(MountType::Tmpfs, "", "/m")
    };
    let message = "the tmpfs of 1 bytes and mode 10000 can't be made";
    invalid(with(tmpfs(1, 0o10000)), message, "modes go up to 7777");
    assert!(asked(ENGINE, with(tmpfs(u64::MAX, 0))).is_err());
    allowed(with(tmpfs(1 << 20, 0o7777)));
    allowed(with(Mount { bind: Some(BindOptions::default()), ..bind }));
}

#[test]
fn a_volume_driver_is_one_that_some_engine_has() {
    let with = |driver: &'static str| {
        let volume = Some(VolumeOptions { driver: driver.into(), ..VolumeOptions::default() });
        let mount = Mount { volume, ..mount(MountType::Volume, "data", "/m") };
        move |spec: &mut ServiceSpec| container(spec).mounts.push(mount)
    };
    refused(
        with("rexray"),
        RefusalCode::Precondition,
        "no node has the volume driver \"rexray\"",
        "install the plugin on a node and restart its agent, or leave the driver out",
    );
    for known in ["", "local", "nfs", "nfs:latest"] {
        allowed(with(known));
    }
    assert_eq!(asked("", with("rexray")), Ok(()), "a node may still come");
}
