//! Pulling an image that is absent, with its progress in bytes.
//!
//! The engine reports each layer by itself, as text; people want to know the sum. The
//! registry's own error is what they are shown, since it says what to do (log in, spell the name
//! right).

use super::engine::Engine;
use crate::runtime::{ProgressFn, PullUpdate, RuntimeError};
use bollard::{models::CreateImageInfo, query_parameters::CreateImageOptions};
use futures::StreamExt;
use std::collections::BTreeMap;
use tokio::sync::Semaphore;

/// Layers whose sizes are added up; no image has more, and a registry that claims so only spoils
/// the sum.
const LAYERS_MAX: usize = 1024;

/// Pulls that go on at the same time; others wait, and say so. Tasks that need no pull do not.
pub(super) const PULLS_AT_ONCE_MAX: usize = 8;

/// Pulls it. There is no limit on the time: a pull that stands still is seen in its progress.
pub(super) async fn pull(
    engine: &Engine,
    permits: &Semaphore,
    image: &str,
    progress: ProgressFn<'_>,
) -> Result<(), RuntimeError> {
    progress(PullUpdate { message: format!("waiting to pull {image}"), ..PullUpdate::default() });
    let _permit = permits.acquire().await;
    let client = engine.patient_client().await?;
    let (name, tag) = split_reference(image);
    let options = CreateImageOptions {
        from_image: Some(name.to_owned()),
        tag: tag.map(str::to_owned),
        ..CreateImageOptions::default()
    };
    progress(PullUpdate { message: format!("pulling {image}"), ..PullUpdate::default() });
    let mut layers = Layers::default();
    let mut news = client.create_image(Some(options), None, None);
    while let Some(item) = news.next().await {
        match item {
            Ok(item) => progress(layers.add(image, &item)),
            Err(error) => {
                return Err(match engine.say(&error) {
                    RuntimeError::Rejected(reason) | RuntimeError::Failed(reason) => {
                        RuntimeError::PullFailed { image: image.to_owned(), reason }
                    }
                    other @ (RuntimeError::Unreachable(_)
                    | RuntimeError::PullFailed { .. }
                    | RuntimeError::Gone) => other,
                });
            }
        }
    }
    Ok(())
}

/// Name and tag as the engine wants them: without a tag it would pull all there are. A digest stays
/// with the name.
fn split_reference(image: &str) -> (&str, Option<&str>) {
    if image.contains('@') {
        return (image, None);
    }
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[last..].split_once(':') {
        Some((_, tag)) => (&image[..image.len() - tag.len() - 1], Some(tag)),
        None => (image, Some("latest")),
    }
}

/// Bytes of each layer: here, and in all.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn add(&mut self, image: &str, item: &CreateImageInfo) -> PullUpdate {
        let status = item.status.clone().unwrap_or_default();
        if let Some(id) = &item.id
            && (self.0.len() < LAYERS_MAX || self.0.contains_key(id))
        {
            let layer = self.0.entry(id.clone()).or_default();
            let number =
                |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
            match (&item.progress_detail, status.as_str()) {
                (Some(detail), "Downloading") => {
                    layer.1 = layer.1.max(number(detail.total));
                    layer.0 = layer.0.max(number(detail.current)).min(layer.1);
                }
                (_, "Download complete" | "Pull complete") => layer.0 = layer.1,
                (_, _) => {}
            }
        }
        let sum = |part: fn(&(u64, u64)) -> u64| self.0.values().map(part).sum();
        let message = match &item.id {
            Some(id) => format!("{image}: {id} {status}"),
            None => format!("{image}: {status}"),
        };
        PullUpdate { done_bytes: sum(|layer| layer.0), total_bytes: sum(|layer| layer.1), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    #[test]
    fn a_port_is_no_tag_and_a_digest_needs_none() {
        assert_eq!(split_reference("busybox"), ("busybox", Some("latest")));
        assert_eq!(split_reference("busybox:1.36"), ("busybox", Some("1.36")));
        assert_eq!(split_reference("reg:5000/a/b"), ("reg:5000/a/b", Some("latest")));
        assert_eq!(split_reference("reg:5000/a/b:2"), ("reg:5000/a/b", Some("2")));
        assert_eq!(split_reference("b:2@sha256:00"), ("b:2@sha256:00", None));
    }

    #[test]
    fn layers_add_up_and_never_go_back() {
        let mut layers = Layers::default();
        let mut news = |id: &str, status: &str, current, total| {
            let detail = ProgressDetail { current: Some(current), total: Some(total) };
            let item = CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: Some(detail),
                ..CreateImageInfo::default()
            };
            let progress = layers.add("i", &item);
            (progress.done_bytes, progress.total_bytes)
        };
        assert_eq!(news("a", "Downloading", 10, 100), (10, 100));
        assert_eq!(news("b", "Downloading", 5, 50), (15, 150));
        assert_eq!(news("a", "Download complete", 0, 0), (105, 150));
        assert_eq!(news("a", "Extracting", 1, 100), (105, 150));
    }
}
