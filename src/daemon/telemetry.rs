//! The daemon's log, as lines on the standard error; and spans for a collector where one is named.
//!
//! What a line says comes from everywhere: error messages of the system, answers of registries,
//! host names. So every value passes through one function, [`shown`], before it is written.

use crate::untrusted::one_line;
use anyhow::Result;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use skep_proto::os_error;
use std::fmt;
use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt,
    fmt::format::{FormatFields, Writer, debug_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Sends what is still waiting when it is dropped.
pub(super) struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// What is let through: of ourselves from this level on, and of the libraries what is wrong.
fn filter_from(level: &str) -> EnvFilter {
    let consensus = skep_log::CONSENSUS_TARGET;
    EnvFilter::new(format!("warn,skep={level},{consensus}=error"))
}

impl Telemetry {
    /// Lines by `SKEP_LOG` (default `warn,skep=info`: what libraries do is their own business);
    /// spans to `endpoint`, such as `http://127.0.0.1:4317`.
    pub(super) fn start(endpoint: Option<&str>) -> Result<Telemetry> {
        let filter = EnvFilter::try_from_env("SKEP_LOG").unwrap_or_else(|_| filter_from("info"));
        let colour = std::env::var_os("NO_COLOR").is_none()
            && std::io::IsTerminal::is_terminal(&std::io::stderr());
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .fmt_fields(fields())
            .with_target(false);
        let provider = endpoint.map(provider).transpose()?;
        let spans = provider
            .as_ref()
            .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("skep")))
            // Spans are made only where somebody collects them: without a collector they cost
            // nothing.
            .map(|layer| layer.with_filter(filter_from("debug")));
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).init();
        Ok(Telemetry { provider })
    }
}

/// How an event's message and fields are written.
fn fields() -> impl for<'a> FormatFields<'a> + Send + Sync + 'static {
    debug_fn(write_field).delimited(" ")
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    // What a library's line carries beside its text has been read already.
    if field.name().starts_with("log.") {
        return Ok(());
    }
    let (name, value) = (field.name(), shown(value));
    match (name, writer.has_ansi_escapes()) {
        ("message", _) => write!(writer, "{value}"),
        // The name is italic, the sign dim.
        (name, true) => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        (name, false) => write!(writer, "{name}={value}"),
    }
}

/// A value as it stands in a line of the log: on one line, without what a terminal would obey, and
/// without the numbers of system errors.
fn shown(value: &dyn fmt::Debug) -> String {
    one_line(&os_error::plain(&format!("{value:?}")))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| {
            tracing::debug!(%error, "the exporter of traces");
            super::Advice::new(
                format!("--otlp-endpoint {endpoint}: traces cannot be sent there as the environment asks"),
                "look at the variables that begin with OTEL_EXPORTER_OTLP",
            )
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Written;

        fn make_writer(&self) -> Written {
            self.clone()
        }
    }

    /// What an event of the log writes, without time and level.
    fn written(event: impl FnOnce()) -> String {
        let lines = Written::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(lines.clone())
            .with_ansi(false)
            .fmt_fields(fields())
            .without_time()
            .with_level(false)
            .with_target(false);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), event);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_says_what_the_system_said_without_its_number_wherever_it_stands() {
        let error = io::Error::from_raw_os_error(28);
        assert_eq!(
            written(|| tracing::warn!(%error, path = "/a", "the file cannot be written: {error}")),
            "the file cannot be written: no space left on device error=no space left on device path=\"/a\"\n"
        );
        let cause: &(dyn std::error::Error + 'static) = &error;
        assert_eq!(written(|| tracing::warn!(cause)), "cause=no space left on device\n");
    }

    #[test]
    fn a_line_holds_nothing_that_a_terminal_obeys() {
        let name = "n\x1b[31m1\nINFO all is well";
        assert_eq!(
            written(|| tracing::warn!(node = %name, "{name} is gone")),
            "n\\x1b[31m1 INFO all is well is gone node=n\\x1b[31m1 INFO all is well\n"
        );
    }
}
