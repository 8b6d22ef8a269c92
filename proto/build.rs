//! Compiles the schema with a protobuf compiler written in Rust, so that no `protoc` need be
//! installed.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment where to write, and what"
)]

use std::{env, fs, path::PathBuf};

const FILES: [&str; 9] =
    ["spec", "event", "record", "object", "command", "api", "agent", "local", "managers"];

/// Variants that hold a whole spec or description. Behind a pointer, so that the small ones, which
/// are nearly all that is ever said, are not moved about in 1.5 KB each.
const BOXED: [&str; 9] = [
    "Event.kind.cluster_created",
    "Event.kind.cluster_updated",
    "Event.kind.service_created",
    "Event.kind.service_updated",
    "Event.kind.node_joined",
    "Event.kind.session_opened",
    "Command.action.create_service",
    "Command.action.update_service",
    "Command.action.update_cluster",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    let files = FILES.map(|name| format!("skep/v1/{name}.proto"));
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The renderer of JSON needs the names and types at run time, without the comments.
    let mut bare = protox::Compiler::new(["schema"])?;
    bare.include_imports(true).open_files(&files)?;
    fs::write(out.join("skep.v1.bin"), bare.encode_file_descriptor_set())?;
    let mut full = protox::Compiler::new(["schema"])?;
    full.include_source_info(true).include_imports(true).open_files(&files)?;
    let stubs = env::var_os("CARGO_FEATURE_TRANSPORT").is_some();
    let configured = BOXED.iter().fold(tonic_prost_build::configure(), |builder, path| {
        builder.boxed(format!(".skep.v1.{path}"))
    });
    configured
        .build_client(stubs)
        .build_server(stubs)
        .btree_map(".")
        .bytes(".")
        .codec_path("crate::codec::OnePieceCodec")
        .compile_fds(full.file_descriptor_set())?;
    Ok(())
}
