//! Where a container's output goes, and that it takes bounded room. No IO; the hash map is that of
//! the engine's API.
//!
//! The engine's own default, the driver `json-file` without limits, fills a disk in time. So a task
//! that chooses no limit for that driver gets one; `max-size=-1` asks for none. Other drivers bound
//! themselves (`local`) or keep nothing here.

use bollard::models::HostConfigLogConfig;
use skep_proto::v1::LogDriver;
use std::collections::HashMap;

/// The driver whose files have no limit of their own.
const UNBOUNDED: &str = "json-file";
/// A container's output in one file; a fuller one is put aside.
const FILE_SIZE_MAX: &str = "10m";
/// Files of one container's output; the oldest goes when there would be more.
const FILES_MAX: &str = "3";

/// The container's log driver and its options. `default` is the engine's own driver, empty where it
/// is not known: then nothing is added for it.
pub(super) fn config(wanted: Option<&LogDriver>, default: &str) -> Option<HostConfigLogConfig> {
    let name = wanted.map(|driver| driver.name.as_str()).filter(|name| !name.is_empty());
    let options = wanted.map(|driver| driver.options.clone()).unwrap_or_default();
    let mut options: HashMap<String, String> = options.into_iter().collect();
    let driver = name.unwrap_or(default);
    if driver == UNBOUNDED && !options.contains_key("max-size") {
        options.insert("max-size".into(), FILE_SIZE_MAX.into());
        options.entry("max-file".into()).or_insert(FILES_MAX.into());
    }
    let typ = (name.is_some() || !options.is_empty()).then(|| driver.to_owned());
    typ.map(|typ| HostConfigLogConfig { typ: Some(typ), config: Some(options) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        wanted: Option<(&str, &[(&str, &str)])>,
        default: &str,
        expected: Option<(&str, &str)>,
    ) {
        let options = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let wanted = wanted
            .map(|(name, pairs)| LogDriver { name: name.to_owned(), options: options(pairs) });
        let found = config(wanted.as_ref(), default).map(|config| {
            let mut pairs: Vec<String> = config
                .config
                .unwrap()
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.sort();
            (config.typ.unwrap(), pairs.join(" "))
        });
        assert_eq!(
            found,
            expected.map(|(typ, pairs)| (typ.to_owned(), pairs.to_owned())),
            "{wanted:?}"
        );
    }

    #[test]
    fn output_takes_bounded_room_unless_a_task_says_otherwise() {
        let bounded = Some(("json-file", "max-file=3 max-size=10m"));
        check(None, "json-file", bounded);
        check(Some(("", &[])), "json-file", bounded);
        check(Some(("json-file", &[])), "local", bounded);
        check(
            Some(("json-file", &[("max-file", "9")])),
            "local",
            Some(("json-file", "max-file=9 max-size=10m")),
        );
        check(
            Some(("json-file", &[("max-size", "-1")])),
            "local",
            Some(("json-file", "max-size=-1")),
        );
        check(Some(("", &[("max-size", "1m")])), "json-file", Some(("json-file", "max-size=1m")));
    }

    #[test]
    fn other_drivers_are_left_as_they_are() {
        check(None, "local", None);
        check(None, "journald", None);
        check(None, "", None);
        check(Some(("none", &[])), "json-file", Some(("none", "")));
        check(Some(("syslog", &[("tag", "x")])), "json-file", Some(("syslog", "tag=x")));
        check(Some(("", &[("tag", "x")])), "journald", Some(("journald", "tag=x")));
    }
}
