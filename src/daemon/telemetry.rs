//! What the daemon says while it works: lines on stderr, and spans to a collector where one is
//! named.

use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Sends what is still waiting when it is dropped.
pub(super) struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Lines by `SKEP_LOG` (default `warn,skep=info`: what libraries do is their own business);
    /// spans to `endpoint`, such as `http://127.0.0.1:4317`.
    pub(super) fn start(endpoint: Option<&str>) -> Result<Telemetry> {
        let filter = EnvFilter::try_from_env("SKEP_LOG")
            .unwrap_or_else(|_| EnvFilter::new("warn,skep=info"));
        let colour = std::env::var_os("NO_COLOR").is_none()
            && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .with_target(false);
        let provider = endpoint.map(provider).transpose()?;
        let spans = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("skep")))
            // Spans are made only where somebody collects them: without a collector they cost
            // nothing.
            .map(|layer| layer.with_filter(EnvFilter::new("warn,skep=debug")));
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
        Ok(Telemetry { provider })
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("--otlp-endpoint {endpoint}"))?;
    let resource = Resource::builder().with_service_name("skep").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "some spans were not sent");
        }
    }
}
