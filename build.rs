//! Compiles the protos with protox, so that building needs nothing but the Rust toolchain.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    if std::env::var_os("CARGO_FEATURE_DAEMON").is_none() {
        return Ok(());
    }
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    let public = [
        "oddsmaker/v1/router.proto",
        "oddsmaker/v1/goals.proto",
        "oddsmaker/v1/insights.proto",
        "oddsmaker/v1/goal_insights.proto",
        "oddsmaker/v1/savings.proto",
        "oddsmaker/v1/admin.proto",
        "oddsmaker/v1/common.proto",
    ];
    compiler.open_files(public)?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("oddsmaker_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    if std::path::Path::new("proto/oddsmaker/ledger/v1/ledger.proto").exists() {
        let mut compiler = protox::Compiler::new(["proto"])?;
        compiler.include_imports(true).include_source_info(true).open_files(["oddsmaker/ledger/v1/ledger.proto"])?;
        std::fs::write(out.join("ledger_descriptor.bin"), compiler.encode_file_descriptor_set())?;
        tonic_prost_build::configure().btree_map(".").compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}
